package api

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"ysync/persistence"
)

// Every field of a record has to survive the way through the API: what is
// forgotten here is lost by a copy.
func TestStoredRecordKeepsEveryField(t *testing.T) {
	var rec persistence.Record
	v := reflect.ValueOf(&rec).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); value := f.Addr().Interface().(type) {
		case *string:
			*value = v.Type().Field(i).Name
		case *time.Time:
			*value = time.UnixMilli(int64(1000 + i)).UTC()
		case *persistence.Pointer:
			*value = persistence.Pointer{Position: persistence.Position(i), Key: "key", SHA256: [32]byte{byte(i)}}
		default:
			if !f.CanUint() {
				t.Fatalf("%s is of a kind that this test does not know", v.Type().Field(i).Name)
			}
			f.SetUint(uint64(100 + i))
		}
	}
	for _, want := range []persistence.Record{rec, {Document: "a"}} {
		text, err := json.Marshal(StoredRecordOf(want))
		if err != nil {
			t.Fatal(err)
		}
		var stored StoredRecord
		if err := json.Unmarshal(text, &stored); err != nil {
			t.Fatal(err)
		}
		if got, err := stored.Record(); err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
	}
}
