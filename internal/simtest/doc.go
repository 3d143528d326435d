// Package simtest runs whole clusters in one process under virtual time, breaks
// what they depend on by a plan that a seed draws, and judges what is left.
//
// # What is real
//
// Hub, committer, placement, members, steward, relay, sessions, snapshots, log
// and engine are those that are shipped, with their goroutines. What a process
// meets at its edge is simulated: the other ends of sockets, Redis, the
// database's connection, the bucket, and the clocks. The database behind the
// connection is persistence/memory, which passes the suite that PostgreSQL
// passes.
//
// # Time and chance
//
// A run is a bubble of testing/synctest: its clock stands still while anything
// can go on, and then jumps to the next timer. Everything that crosses an edge
// takes a time in nanoseconds that is drawn from the seed, so hardly two things
// ever happen at one moment, and what follows from each is over before the next.
// Who runs first among goroutines that one event woke, select and the order of
// maps are not drawn from the seed. TestReplays measures what that costs.
//
// # Faults
//
// A stream between two nodes is TCP underneath: what is lost, doubled or out of
// order there shows as delay, silence or a break with all that was under way
// lost. Messages of clients, notices and answers of Redis, and calls of the
// database are dropped, delayed, doubled and reordered one by one.
package simtest
