// Package lib0 reads and writes the primitive encodings that Yjs takes from
// the JavaScript library lib0: variable-length integers, strings, the
// self-describing "any" values, and the run-length coders that make up the
// columns of an update in format V2.
//
// Encoders append to a byte slice. Decoders are cursors over a slice that they
// alias; they never allocate in proportion to a number found in the input. The
// first failure of a [Reader] or of a column decoder sticks: every later read
// yields zero, and Err tells what went wrong and where.
//
// # Strings
//
// JavaScript strings are sequences of UTF-16 code units and may contain halves
// of surrogate pairs. In memory this package holds them as Go strings in which
// a lone surrogate U+D800–U+DFFF is spelt with the three bytes that UTF-8 would
// give it (this superset of UTF-8 is known as WTF-8). On the wire there is only
// UTF-8: writing joins a high half with a low half that follows it and turns
// every other half into U+FFFD, as TextEncoder does; reading refuses what is
// not UTF-8, as lib0 does with its fatal TextDecoder.
//
// # Numbers
//
// Integers of the structure (clocks, lengths, client IDs) are bounded by
// [MaxSafeInteger]. lib0 lets a few larger ones pass, rounded to a float64;
// [Reader.UvarintNumber] and [Reader.VarintNumber] follow it there, the
// others report [ErrOverflow].
//
// The package knows nothing of updates or documents.
package lib0

// MaxSafeInteger is 2^53−1, the largest integer n for which JavaScript tells n
// and n+1 apart.
const MaxSafeInteger = 1<<53 - 1
