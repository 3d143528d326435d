package migrate

import (
	"bytes"
	"errors"
	"maps"

	"ysync/crdt"
)

// difference names the first thing in which two documents differ, or is nil:
// what they know, what they deleted, what they show, and at last every block with
// the place where it was inserted, those that wait included.
func difference(a, b *crdt.Doc) error {
	if !a.StateVector().Equal(b.StateVector()) {
		return errors.New("the state vectors differ")
	}
	deletes, others := a.Deletes(), b.Deletes()
	if !deletes.Equal(&others) {
		return errors.New("the delete sets differ")
	}
	if !maps.Equal(content(a), content(b)) {
		return errors.New("the contents differ")
	}
	x, err := canonical(a)
	if err != nil {
		return err
	}
	y, err := canonical(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(x, y) {
		return errors.New("the states differ")
	}
	return nil
}

// content is the JSON of each root. Roots appear in the order in which updates
// brought them, which is no difference between documents.
func content(d *crdt.Doc) map[string]string {
	m := map[string]string{}
	for name, v := range d.JSON(nil).Fields() {
		m[name] = string(v.AppendJSON(nil))
	}
	return m
}

// canonical is the state with neighbouring blocks joined: how they were cut on
// their way is no difference either.
func canonical(d *crdt.Doc) ([]byte, error) {
	return crdt.Compact(crdt.V1, d.AppendStored(nil, crdt.V1))
}
