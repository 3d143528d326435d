package snapshots

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
)

const (
	// formatVersion is the newest version this release reads and the one it
	// writes.
	formatVersion = 1

	prefixBytes    = 16
	maxHeaderBytes = 64 << 10
	// headBytes is enough of a file to hold any header and its crc.
	headBytes = prefixBytes + maxHeaderBytes + crc32.Size

	// MaxRawBytes is the largest body a file may hold before compression. It is
	// a property of the format, not a limit of a deployment: what was written
	// stays readable.
	MaxRawBytes = 1 << 30
	// maxFileBytes is the longest file: zstd adds less than a 256th to a body
	// that does not shrink.
	maxFileBytes = MaxRawBytes + MaxRawBytes/256 + headBytes + sha256.Size + 1<<10
)

type magic string

const (
	snapshotMagic magic = "YSYNCSNP"
	segmentMagic  magic = "YSYNCSEG"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal builds a whole file around a header and a compressed body.
func seal(m magic, header, body []byte) []byte {
	file := make([]byte, 0, prefixBytes+len(header)+crc32.Size+len(body)+sha256.Size)
	file = append(file, m...)
	file = binary.BigEndian.AppendUint32(file, formatVersion)
	file = binary.BigEndian.AppendUint32(file, uint32(len(header)))
	file = append(file, header...)
	file = binary.BigEndian.AppendUint32(file, crc32.Checksum(file, castagnoli))
	file = append(file, body...)
	sum := sha256.Sum256(file)
	return append(file, sum[:]...)
}

// openHeader checks the front of a file, of which head is at least the first
// headBytes (or all), and returns its header and the bytes after the crc.
func openHeader(m magic, head []byte) (header, rest []byte, err error) {
	if len(head) < prefixBytes {
		return nil, nil, corrupt("%d bytes are too short for a file", len(head))
	}
	if magic(head[:8]) != m {
		return nil, nil, corrupt("it does not begin with %s", string(m))
	}
	version := binary.BigEndian.Uint32(head[8:])
	n := binary.BigEndian.Uint32(head[12:])
	if n > maxHeaderBytes {
		return nil, nil, corrupt("its header claims %d bytes", n)
	}
	end := prefixBytes + int(n)
	if len(head) < end+crc32.Size {
		return nil, nil, corrupt("its header is cut short")
	}
	if binary.BigEndian.Uint32(head[end:]) != crc32.Checksum(head[:end], castagnoli) {
		return nil, nil, corrupt("its header has a wrong checksum")
	}
	// The checksum comes first: a flipped bit in the version is damage.
	switch {
	case version > formatVersion:
		return nil, nil, &versionError{version}
	case version < formatVersion:
		return nil, nil, corrupt("format version %d never existed", version)
	}
	return head[prefixBytes:end], head[end+crc32.Size:], nil
}

// openFile checks a whole file and returns its header and body.
func openFile(m magic, file []byte) (header, body []byte, err error) {
	header, rest, err := openHeader(m, file)
	if err != nil {
		return nil, nil, err
	}
	if len(rest) < sha256.Size {
		return nil, nil, corrupt("it is cut short")
	}
	end := len(file) - sha256.Size
	if sha256.Sum256(file[:end]) != [sha256.Size]byte(file[end:]) {
		return nil, nil, corrupt("it has a wrong digest")
	}
	return header, rest[:len(rest)-sha256.Size], nil
}
