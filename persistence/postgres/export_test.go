package postgres

import "strings"

// WithoutEpoch takes the comparison of the epoch out of the append, to prove
// that tests of fencing notice.
func (l *Log) WithoutEpoch() {
	l.appendSQL = strings.Replace(appendSQL, "AND t.epoch = d.epoch", "", 1)
}
