package replica

import (
	"ysync/crdt"
)

// Merge merges updates.
func Merge(version int, us [][]byte) ([]byte, error) {
	return crdt.Merge(crdt.Version(version), us...)
}

// Diff is the part of an update that an encoded state vector lacks.
func Diff(version int, u, sv []byte) ([]byte, error) {
	known, err := crdt.DecodeStateVector(sv)
	if err != nil {
		return nil, err
	}
	return crdt.Diff(crdt.Version(version), u, known)
}

// Convert turns an update of the other version into one of version to.
func Convert(to int, u []byte) ([]byte, error) {
	return crdt.Convert(crdt.Version(3-to), crdt.Version(to), u)
}

// SVFromUpdate is the encoded state vector of an update.
func SVFromUpdate(version int, u []byte) ([]byte, error) {
	sv, err := crdt.StateVectorOf(crdt.Version(version), u)
	if err != nil {
		return nil, err
	}
	return crdt.AppendStateVector(nil, sv), nil
}

// Meta is where the blocks of an update start and end, by client.
func Meta(version int, u []byte) (from, to map[string]uint64, err error) {
	c, err := crdt.ContentsOf(crdt.Version(version), u)
	from, to = map[string]uint64{}, map[string]uint64{}
	for client, r := range c.Blocks.All() {
		if _, ok := from[name(client)]; !ok {
			from[name(client)] = uint64(r.From)
		}
		to[name(client)] = uint64(r.To)
	}
	return from, to, err
}

// DecodeSV decodes a state vector.
func DecodeSV(b []byte) (map[string]uint64, error) {
	sv, err := crdt.DecodeStateVector(b)
	return svMap(sv), err
}
