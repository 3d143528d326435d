package snapshots

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	writeWindowBytes = 4 << 20
	// smallBytes is up to what size a body is compressed by an encoder that holds a
	// tenth of the memory: it finds the same, as its window is no smaller. Most
	// documents are small, and large ones' encoders must not live on for them.
	smallBytes = 512 << 10
	// readWindowBytes bounds what a frame can make the decoder hold.
	readWindowBytes = 8 << 20
	// firstReadBytes is what a body may allocate before it has shown that it
	// decompresses to more.
	firstReadBytes = 64 << 10
)

// Encoders and decoders are kept for reuse: building one allocates far more
// than a small document needs.
var (
	smallEncoders, largeEncoders = encoderPool(smallBytes), encoderPool(writeWindowBytes)

	decoders = sync.Pool{New: func() any {
		// Streaming always: decoding small inputs in one go would allocate what
		// the frame claims before the claim is checked.
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(readWindowBytes), zstd.WithDecodeBuffersBelow(0))
		if err != nil {
			panic("zstd decoder options: " + err.Error())
		}
		return dec
	}}
)

func encoderPool(windowBytes int) *sync.Pool {
	return &sync.Pool{New: func() any {
		// The file has a digest of its own; a second checksum buys nothing.
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(windowBytes), zstd.WithEncoderCRC(false))
		if err != nil {
			panic("zstd encoder options: " + err.Error())
		}
		return enc
	}}
}

// compress returns raw as one zstd frame.
func compress(raw []byte) []byte {
	encoders := largeEncoders
	if len(raw) <= smallBytes {
		encoders = smallEncoders
	}
	enc := encoders.Get().(*zstd.Encoder)
	defer encoders.Put(enc)
	return enc.EncodeAll(raw, make([]byte, 0, len(raw)/2+64))
}

// decompress returns exactly size bytes out of body. What it allocates grows
// with what body really decompresses to, never beyond twice size.
func decompress(body []byte, size uint64) ([]byte, error) {
	if size > MaxRawBytes {
		return nil, corrupt("its body claims %d bytes", size)
	}
	dec := decoders.Get().(*zstd.Decoder)
	defer func() {
		// Drop the reference to body before the decoder waits in the pool.
		if dec.Reset(nil) == nil {
			decoders.Put(dec)
		}
	}()
	if err := dec.Reset(bytes.NewReader(body)); err != nil {
		return nil, corrupt("its body does not decompress: %v", err)
	}
	first := min(size, max(firstReadBytes, 8*uint64(len(body))))
	raw := make([]byte, 0, first)
	for {
		if len(raw) == cap(raw) {
			if uint64(len(raw)) == size {
				break
			}
			grown := make([]byte, len(raw), min(size, 2*uint64(cap(raw))))
			copy(grown, raw)
			raw = grown
		}
		n, err := dec.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, corrupt("its body does not decompress: %v", err)
		}
	}
	if uint64(len(raw)) != size {
		return nil, corrupt("its body has %d bytes of %d", len(raw), size)
	}
	if n, err := dec.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return nil, corrupt("its body has more than %d bytes", size)
	}
	return raw, nil
}

// bounded refuses a body that the format cannot hold.
func bounded(what string, n int) error {
	if n > MaxRawBytes {
		return fmt.Errorf("%w: %s has %d bytes, at most %d", ErrTooLarge, what, n, MaxRawBytes)
	}
	return nil
}
