package awareness_test

import (
	"fmt"
	"time"

	"ysync/awareness"
)

func ExamplePresence() {
	now := time.Unix(1_700_000_000, 0)
	ann := awareness.New(1001, now)
	_, _ = ann.SetLocalState([]byte(`{"name":"Ann"}`), now)
	hello, _ := ann.AppendUpdate(nil, ann.ClientID())

	const session = 1
	p := awareness.NewPresence(awareness.Options{})
	out, err := p.Apply(session, "ann@example.org", hello, now)
	fmt.Println(out.Accepted, err)

	p.Leave(session, now)
	due := p.NextExpiry()
	fmt.Println(due.Sub(now), p.Len())
	fmt.Printf("%q %d\n", p.Expire(due), p.Len())
	// Output:
	// [1001] <nil>
	// 3s 1
	// "\x01\xe9\a\x01\x04null" 0
}
