package syncproto_test

import (
	"fmt"

	"ysync/syncproto"
)

func ExampleDecoder() {
	frame := syncproto.AppendUpdate(nil, []byte{0, 0})
	frame = syncproto.AppendAck(frame, []byte{7})

	d := syncproto.NewDecoder(frame)
	for m, ok := d.Next(); ok; m, ok = d.Next() {
		fmt.Printf("%v % x\n", m.Kind, m.Payload)
	}
	fmt.Println(d.Err())
	// Output:
	// Update 00 00
	// Ack 07
	// <nil>
}

func ExampleAppendUpdateHeader() {
	update := make([]byte, 300)
	header := syncproto.AppendUpdateHeader(nil, len(update))
	fmt.Printf("% x, then %d bytes\n", header, len(update))
	// Output: 00 02 ac 02, then 300 bytes
}
