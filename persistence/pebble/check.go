package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"

	"ysync/internal/fault"
	"ysync/persistence"
)

// The database reads its write-ahead log and its manifest up to the first
// chunk that does not check, and takes what follows for the torn end of a
// power loss: within the last 32 KiB it does not look whether good chunks come
// after. checkFiles looks, before the database opens (and deletes what it
// thinks is superfluous): a torn end is what was never acknowledged, damage in
// front of acknowledged entries is an error.
//
// What can't be told apart is damage to the very last commits of a log: they
// look as if the power had failed during them.

const (
	chunkBlock = 32 << 10 // chunks lie within blocks of this size

	plainHeader = 7  // crc(4) length(2) type(1)
	syncHeader  = 19 // plainHeader, log number(4), synced offset(8)

	plainTypes, plainTypesEnd = 1, 4
	syncTypes, syncTypesEnd   = 9, 12
)

// chunk is a chunk that checks.
type chunk struct {
	end    int    // in its block
	synced uint64 // how much of the log was durable when it was written
}

// chunkCRC is the checksum of a chunk: CRC-32C, rotated and shifted.
func chunkCRC(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// parseChunk reads the chunk at an offset of a block. For a write-ahead log,
// it must be one of the log with the number; the manifest has no number.
func parseChunk(block []byte, at int, number uint32, wal bool) (chunk, bool) {
	header, from, to := plainHeader, byte(plainTypes), byte(plainTypesEnd)
	if wal {
		header, from, to = syncHeader, syncTypes, syncTypesEnd
	}
	if at+header > len(block) {
		return chunk{}, false
	}
	b := block[at:]
	if b[6] < from || b[6] > to || wal && binary.LittleEndian.Uint32(b[7:]) != number {
		return chunk{}, false
	}
	c := chunk{end: at + header + int(binary.LittleEndian.Uint16(b[4:]))}
	if c.end > len(block) || chunkCRC(block[at+6:c.end]) != binary.LittleEndian.Uint32(b) {
		return chunk{}, false
	}
	if wal {
		c.synced = binary.LittleEndian.Uint64(b[11:])
	}
	return c, true
}

// isRest reports whether what is left of a block, from the offset, is the
// unused rest that every block may have.
func isRest(block []byte, at int) bool {
	for _, b := range block[at:] {
		if b != 0 {
			return false
		}
	}
	return len(block)-at < syncHeader || len(block) < chunkBlock
}

// scan reads a file of chunks. At the first one that does not check it goes on
// to look for good ones behind, and hands them to after; it returns the offset
// of the first bad one, or -1.
func scan(f io.Reader, number uint32, wal bool, after func(chunk)) (damage int64, err error) {
	damage = -1
	block := make([]byte, chunkBlock)
	for base := int64(0); ; base += chunkBlock {
		n, err := io.ReadFull(f, block)
		if err == io.EOF {
			return damage, nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return damage, err
		}
		// Zeros are no chunk: the rest of a log that was made long in advance.
		end := len(bytes.TrimRight(block[:n], "\x00"))
		for at := 0; at < n; {
			c, ok := parseChunk(block[:n], at, number, wal)
			switch {
			case ok && damage >= 0:
				after(c)
				at = c.end
			case ok:
				at = c.end
			case damage >= 0 && at >= end:
				at = n
			case damage >= 0:
				at++
			case isRest(block[:n], at):
				at = n
			default:
				damage = base + int64(at)
			}
		}
	}
}

// checkFiles checks the manifest and the write-ahead logs of a folder.
func checkFiles(files vfs.FS, dir string) error {
	names, err := files.List(dir)
	if err != nil {
		return err
	}
	manifest, err := atomicfs.ReadMarker(files, dir, "manifest")
	if err != nil {
		return err
	}
	for _, name := range names {
		number, isLog := strings.CutSuffix(name, ".log")
		var err error
		switch {
		case name == manifest:
			err = checkFile(files, dir, name, checkManifest)
		case isLog:
			n, parse := strconv.ParseUint(number, 10, 32)
			if parse != nil {
				continue
			}
			err = checkFile(files, dir, name, func(f io.Reader) (int64, error) { return checkWAL(f, uint32(n)) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func checkFile(files vfs.FS, dir, name string, check func(io.Reader) (int64, error)) error {
	f, err := files.Open(files.PathJoin(dir, name), vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	damage, err := check(f)
	if damage >= 0 && !fault.Active(fault.CutDamage) {
		err = fmt.Errorf("%w: %s is damaged at offset %d, before entries that were acknowledged", persistence.ErrCorrupt, name, damage)
	}
	return errors.Join(err, f.Close())
}

// checkManifest returns the offset of damage, or -1. Every edit of the manifest
// is durable before the next is written, so anything good after it proves it.
func checkManifest(f io.Reader) (int64, error) {
	later := false
	damage, err := scan(f, 0, false, func(chunk) { later = true })
	if !later {
		damage = -1
	}
	return damage, err
}

// checkWAL returns the offset of damage, or -1 when there is none or none that
// can be told from a torn end. A good chunk behind the bad one proves nothing
// by itself: what is not synced may reach the disk in any order. It is proof
// when it says that more was durable than up to the bad one; and, because that
// offset falls behind in long logs, when it is the third value of it behind
// the bad one: between the first and the third, a whole fsync took place that
// began after the bad chunk was written.
func checkWAL(f io.Reader, number uint32) (int64, error) {
	var newest, highest uint64
	values := 0
	damage, err := scan(f, number, true, func(c chunk) {
		highest = max(highest, c.synced)
		if values == 0 || c.synced > newest {
			newest = c.synced
			values++
		}
	})
	if damage >= 0 && highest <= uint64(damage) && values < 3 {
		damage = -1
	}
	return damage, err
}
