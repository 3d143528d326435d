package snapshots

import "context"

// Wipe removes every file of a document, of all generations, and tells how many
// there were and their bytes. It is for a document with a tombstone, of which
// nobody stores anything any more. It may be stopped anywhere and run again.
func (k *Keeper) Wipe(ctx context.Context, document string) (files int, bytes int64, err error) {
	for {
		// The listing is finished before anything is deleted: a store need not
		// say what a listing shows of what goes meanwhile.
		var found []Object
		for o, err := range k.store.List(ctx, Folder(document)) {
			if err != nil {
				return files, bytes, &DocumentError{"wipe", document, err}
			}
			found = append(found, o)
		}
		if len(found) == 0 {
			return files, bytes, nil
		}
		for _, o := range found {
			if err := k.store.Delete(ctx, o.Key); err != nil {
				return files, bytes, &DocumentError{"wipe", document, err}
			}
			files++
			bytes += o.Size
		}
	}
}
