// Package invariant holds assertions about the program itself. They run in
// test builds (build tag "invariants") and compile to nothing otherwise. Input
// from outside is never judged here: bad input is an error, a broken invariant
// is a bug.
package invariant
