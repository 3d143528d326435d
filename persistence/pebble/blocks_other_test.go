//go:build !unix

package pebble_test

import "os"

// blocksOf is how much of the disk a file takes, as far as it can be told.
func blocksOf(info os.FileInfo) int64 { return info.Size() }
