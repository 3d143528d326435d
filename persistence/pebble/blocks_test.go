//go:build unix

package pebble_test

import (
	"os"
	"syscall"
)

// blocksOf is how much of the disk a file takes, in bytes.
func blocksOf(info os.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks * 512 }
