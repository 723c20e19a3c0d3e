package daemon

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// recordWait is for how long other boxes are waited for about the record.
const recordWait = 10 * time.Second

// backupRecord is what is known of backups, whoever makes the next: in a cluster the boxes share it.
type backupRecord struct {
	At        time.Time `json:"at"` // of the newest
	Name      string    `json:"name"`
	Box       string    `json:"box"`
	Slot      time.Time `json:"slot"`                // the moment of the schedule for which one was made last
	Tried     time.Time `json:"tried"`               // when one came to nothing; zero: not since
	Error     string    `json:"error,omitempty"`     // why
	LeftOut   int64     `json:"left_out,omitempty"`  // how many files the newest has not, as they could not be read
	Appliance string    `json:"appliance,omitempty"` // which one this is: backup.Head
}

const (
	backupRecordFile = "backups.json"
	sharedBackups    = "backups"
)

func (b *backups) recall(ctx context.Context) (r backupRecord, err error) {
	ctx, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
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
	ctx, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
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

// note changes the record of what was done: that stays done where the record cannot be written.
func (b *backups) note(ctx context.Context, change func(*backupRecord)) {
	if err := b.remember(ctx, change); err != nil && ctx.Err() == nil {
		b.d.Log.Warn("what is known of backups could not be written down", "error", err)
	}
}

// identity is which appliance this is, among those whose backups lie in one directory. One that was restored is another: what it was
// restored from is not its own to remove.
func (b *backups) identity(ctx context.Context) string {
	b.naming.Lock()
	defer b.naming.Unlock()
	if b.named {
		return b.id
	}
	if b.id == "" {
		b.id = hex.EncodeToString(binary.BigEndian.AppendUint32(nil, rand.Uint32()))
	}
	err := b.remember(ctx, func(r *backupRecord) {
		r.Appliance = cmp.Or(r.Appliance, b.id)
		b.id = r.Appliance
	})
	b.named = err == nil // else it is asked again, and the same until then
	return b.id
}
