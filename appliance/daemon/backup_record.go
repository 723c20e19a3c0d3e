package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// backupRecord is what is known of backups, whoever makes the next: in a cluster the boxes share it.
type backupRecord struct {
	At    time.Time `json:"at"` // of the newest
	Name  string    `json:"name"`
	Box   string    `json:"box"`
	Slot  time.Time `json:"slot"`            // the moment of the schedule for which one was made last
	Tried time.Time `json:"tried"`           // when one came to nothing; zero: not since
	Error string    `json:"error,omitempty"` // why
}

const (
	backupRecordFile = "backups.json"
	sharedBackups    = "backups"
)

func (b *backups) recall(ctx context.Context) (r backupRecord, err error) {
	var text []byte
	if s := b.d.seat; s != nil {
		text, err = s.agreement.Shared(ctx, sharedBackups)
	} else if text, err = os.ReadFile(filepath.Join(b.d.Config.Data, backupRecordFile)); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && text != nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("what is known of backups: %w", err)
	}
	return r, nil
}

// remember changes the record.
func (b *backups) remember(ctx context.Context, change func(*backupRecord)) error {
	b.recording.Lock()
	defer b.recording.Unlock()
	r, err := b.recall(ctx)
	if err != nil {
		return err
	}
	change(&r)
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if s := b.d.seat; s != nil {
		return s.agreement.Share(ctx, sharedBackups, text)
	}
	return writeWhole(filepath.Join(b.d.Config.Data, backupRecordFile), text)
}
