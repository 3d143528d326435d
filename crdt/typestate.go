package crdt

// typeState is what the shared types keep in a Doc beside the blocks:
// observers and position indexes. The methods below are called by the core.
type typeState struct{}

// tracks tells whether Txn.changed must be filled for observers.
func (s *typeState) tracks(d *Doc) bool { return false }

// observe runs at phase 2 of a commit: it calls the observers of tx
// (Yjs: the calls to _callObserver and afterTransaction).
func (s *typeState) observe(d *Doc, tx *Txn) {}

// cleanFormats runs at phase 3 of a commit, when Txn.formatCleanup is set
// (Yjs: cleanupYTextAfterTransaction). Edits go through a new transaction,
// opened with d.followUp.
func (s *typeState) cleanFormats(d *Doc, tx *Txn) {}

// itemInserted says that r was linked into its chain. Only for types with
// branchIndexed, as are the others below; only for the sequence.
func (s *typeState) itemInserted(d *Doc, r itemRef) {}

// itemSplit says that right was cut off left.
func (s *typeState) itemSplit(d *Doc, left, right itemRef) {}

// itemMerged says that right is about to be forgotten: left, which is next to
// it, takes its units over and already has their length.
func (s *typeState) itemMerged(d *Doc, left, right itemRef) {}

// itemDeleted says that r was marked deleted; its length is unchanged.
func (s *typeState) itemDeleted(d *Doc, r itemRef) {}

// branchCollected says that all items of the type become gc blocks.
func (s *typeState) branchCollected(d *Doc, b branchRef) {}
