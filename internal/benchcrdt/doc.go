// Package main measures the engine, crdt, against its rivals in Node: yjs,
// ywasm and loro-crdt, row by row and in turn, on the same data in one run.
//
// The rows B1 to B4 are those of dmonad/crdt-benchmarks, in update V1; B2c is
// B2 with edits made apart and exchanged afterwards. The rows S are a server's
// jobs, T and E further editing traces, M memory, G what the garbage collector
// sees and H hostile bytes. driver.mjs does on a rival what ours.go and
// server.go do on the engine; what the two ended with is compared, with yjs
// byte for byte.
package main
