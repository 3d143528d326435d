package relay

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"ysync/internal/lib0"
)

// packet is a message of the stream: records, one after the other.
//
//	varUint channel<<1 | last, varUint length, that many bytes
//
// The bytes of a channel's records up to one that says last are a frame.
type packet struct{ data []byte }

const (
	// recordBytes is how much of one channel is sent before others have a turn.
	recordBytes = 32 << 10
	// packetBytes is about how much is gathered for one message of the stream.
	packetBytes = 64 << 10
	// maxPacket bounds a message of the stream.
	maxPacket = packetBytes + recordBytes + 64
)

// appendRecord appends a record.
func appendRecord(dst []byte, channel uint64, last uint64, data []byte) []byte {
	dst = lib0.AppendUvarint(dst, channel<<1|last)
	dst = lib0.AppendUvarint(dst, uint64(len(data)))
	return append(dst, data...)
}

// codec carries packets as they are.
type codec struct{}

var _ encoding.CodecV2 = codec{}

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.(*packet).data)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	v.(*packet).data = data.Materialize()
	return nil
}

func (codec) Name() string { return "ysync" }

const (
	serviceName = "ysync.Relay"
	streamName  = "Link"
)

var streamDesc = grpc.StreamDesc{StreamName: streamName, ServerStreams: true, ClientStreams: true}

// Stream carries messages whole and in order, both ways. Each of its methods is
// called from one goroutine at a time. After an error it is of no use any more.
type Stream interface {
	// Send sends a message. It takes data over.
	Send(data []byte) error
	// Receive waits for the next message, which is the caller's.
	Receive() ([]byte, error)
}

// grpcStream is either end of a stream of gRPC.
type grpcStream struct {
	stream interface {
		SendMsg(m any) error
		RecvMsg(m any) error
	}
}

// Send implements Stream.
func (s grpcStream) Send(data []byte) error { return s.stream.SendMsg(&packet{data}) }

// Receive implements Stream.
func (s grpcStream) Receive() ([]byte, error) {
	var p packet
	err := s.stream.RecvMsg(&p)
	return p.data, err
}

// decodeHello decodes a packet with one frame on channel 0.
func decodeHello(data []byte, kind frameKind) (frame, error) {
	if len(data) > maxHello {
		return frame{}, errFrame
	}
	r := lib0.NewReader(data)
	tag, body := r.Uvarint(), r.Bytes()
	if r.Err() != nil || tag != 1 || r.Len() != 0 {
		return frame{}, errFrame
	}
	f, err := decodeFrame(body)
	if err == nil && f.kind != kind {
		err = errFrame
	}
	return f, err
}
