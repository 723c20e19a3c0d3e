package folders

import (
	"context"
	"fmt"
)

// Change is what is to be changed of a folder; nil leaves as it is.
type Change struct {
	Name  *string
	Quota *int64 // bytes; 0: no bound
}

// Update changes a folder. ErrNotFound, ErrExists, ErrInvalid.
func (fo *Keeper) Update(ctx context.Context, project, ref string, change Change) (Folder, error) {
	fo.changes.Lock()
	defer fo.changes.Unlock()
	f, err := fo.Find(ctx, project, ref)
	if err != nil {
		return Folder{}, err
	}
	if change.Name != nil {
		if err := CheckName(*change.Name); err != nil {
			return Folder{}, err
		}
		f.Name = *change.Name
	}
	if change.Quota != nil {
		if *change.Quota < 0 {
			return Folder{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("a folder cannot be bound to %d bytes", *change.Quota), hint: "0 is no bound"}
		}
		f.Quota = *change.Quota
	}
	return f, fo.move(ctx, f, f.Path)
}
