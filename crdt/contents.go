package crdt

// Contents says which units an update holds, without a document.
type Contents struct {
	// Blocks are the units that the update brings: items and gc blocks, not
	// skips.
	Blocks IDSet
	// Deletes are the units that it deletes.
	Deletes IDSet
}

// ContentsOf reads an update without keeping any of it. It allocates what the
// result takes, at most eight times the update and 64 KiB. Errors are those of Merge. (Yjs: parseUpdateMeta tells the first and last clock of each client.)
func ContentsOf(v Version, update []byte) (Contents, error) {
	var c Contents
	r, err := newUpdateReader(v, update, 0)
	if err != nil {
		return c, err
	}
	c.Blocks.clients = make([]idSetClient, 0, r.likelySections())
	var b rawBlock
	var run deleteRun
	for r.next(&b) {
		if b.kind == kindSkip {
			continue
		}
		if run.client != b.client || run.To != Clock(b.clock) {
			c.Blocks.pushSome(run)
			run = deleteRun{b.client, Range{Clock(b.clock), Clock(b.clock)}}
		}
		run.To = Clock(b.end())
	}
	c.Blocks.pushSome(run)
	if c.Deletes, err = r.deleteSet(); err != nil {
		return Contents{}, err
	}
	c.Blocks.normalise()
	return c, nil
}

// pushSome is push for a range that may be empty.
func (s *IDSet) pushSome(run deleteRun) {
	if run.From < run.To {
		s.push(run)
	}
}
