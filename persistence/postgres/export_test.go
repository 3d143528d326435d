package postgres

// WithoutEpoch takes the comparison of the epoch out of the append, to prove
// that tests of fencing notice.
func (l *Log) WithoutEpoch() { l.appendSQL = withoutEpoch() }

// AppendSQL is the statement of an append.
const AppendSQL = appendSQL

// WriterSettings are the names and values of what a writer's session sets
// for its plans.
func WriterSettings() (all [][2]string) {
	for _, s := range writing {
		all = append(all, [2]string{s.name, s.value})
	}
	return all
}
