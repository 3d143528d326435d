package main

import (
	"fmt"
	"syscall"
)

// fileSystem names the file system of a folder, and says why it is none for
// data; empty when it is.
func fileSystem(path string) (name, why string) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return "unknown", err.Error()
	}
	const network = "over a network locks and fsync may mean little"
	switch uint32(s.Type) {
	case 0xef53:
		return "ext4", ""
	case 0x58465342:
		return "xfs", ""
	case 0x9123683e:
		return "btrfs", ""
	case 0x2fc12fc1:
		return "zfs", ""
	case 0x794c7630:
		return "overlayfs", "it may go with the container: mount a volume"
	case 0x01021994, 0x858458f6:
		return "tmpfs", "it is gone when the machine restarts"
	case 0x6969:
		return "nfs", network
	case 0xff534d42, 0xfe534d42, 0x517b:
		return "smb", network
	case 0x65735546:
		return "fuse", "whether fsync reaches a disk depends on what is behind it"
	}
	return fmt.Sprintf("type %#x", uint32(s.Type)), ""
}
