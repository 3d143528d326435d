// Package syncqueue has files synced by the kernel on request (Linux, io_submit(2)),
// while the goroutine that waits for it holds neither a thread nor a processor. A
// thread that blocks in fdatasync(2) or fsync(2) keeps its processor until the runtime's
// monitor finds it, which looks every 10 ms when little happens: on one core everything
// else stands still that long, at each sync. Where the kernel has no such requests, syncs
// are as they would be.
package syncqueue
