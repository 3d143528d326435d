package main

import "ysync/internal/gateway"

// storeFiles is what the update log and the snapshots may have open.
const storeFiles = 2000

// connectionsFor is how many connections there may be of those wanted, if the
// process may have so many files open. A store that gets no file stops the
// process, so connections get none of those that it may need: at least a half
// is its.
func connectionsFor(wanted int, files uint64) int {
	reserved := min(storeFiles+gateway.RequestConnections, files/2)
	return int(max(1, min(uint64(wanted), files-reserved)))
}
