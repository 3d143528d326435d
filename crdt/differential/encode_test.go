package differential

import (
	"encoding/json"

	"ysync/internal/vectors"
)

// encodeOps writes edits as the peer reads them.
func encodeOps(ops []vectors.Op) json.RawMessage {
	var list []vectors.Value
	for _, o := range ops {
		v := vectors.MakeObject(
			vectors.Field{Key: "o", Value: str(o.O)},
			vectors.Field{Key: "at", Value: vectors.MakeList(o.At...)},
			vectors.Field{Key: "i", Value: num(o.I)},
			vectors.Field{Key: "n", Value: num(o.N)},
			vectors.Field{Key: "k", Value: str(o.K)},
		)
		add := func(key string, e vectors.Value) {
			if e.Kind != vectors.Absent {
				v.Fields = append(v.Fields, vectors.Field{Key: key, Value: e})
			}
		}
		add("s", o.S)
		add("v", o.V)
		add("d", o.D)
		add("ref", o.Ref)
		if o.From != nil {
			add("from", vectors.MakeList(o.From...))
		}
		if o.A != nil {
			add("a", *o.A)
		}
		list = append(list, v)
	}
	return vectors.MakeList(list...).JSON()
}
