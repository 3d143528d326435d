package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a number of bytes on the command line.
type size int64

var units = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"B", 1},
	{"", 1},
}

// UnmarshalText reads a whole number and a unit; none means bytes.
func (s *size) UnmarshalText(text []byte) error {
	in := strings.TrimSpace(string(text))
	for _, unit := range units {
		digits, ok := strings.CutSuffix(in, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit.factor {
			break
		}
		*s = size(n * unit.factor)
		return nil
	}
	return fmt.Errorf("%q is no size: want a whole number with KiB, MiB, GiB, KB, MB, GB or nothing", in)
}
