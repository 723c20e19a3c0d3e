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

	"github.com/palisade-run/palisade/appliance/cluster"
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
	if err != nil {
		return r, fmt.Errorf("what is known of backups: %w", err)
	}
	return r, r.read(text)
}

// read takes in what was written, if anything.
func (r *backupRecord) read(text []byte) error {
	if text == nil {
		return nil
	}
	if err := json.Unmarshal(text, r); err != nil {
		return fmt.Errorf("what is known of backups: %w", err)
	}
	return nil
}

// remember changes the record. In a cluster only who decides does: cluster.ErrDeposed where another box does by now.
func (b *backups) remember(ctx context.Context, change func(*backupRecord)) error {
	b.recording.Lock()
	defer b.recording.Unlock()
	if s := b.d.seat; s != nil {
		ctx, cancel := context.WithTimeout(ctx, recordWait)
		defer cancel()
		return s.agreement.Amend(ctx, b.d.turn.reign, sharedBackups, func(text []byte) ([]byte, error) {
			var r backupRecord
			if err := r.read(text); err != nil {
				return nil, err
			}
			change(&r)
			return json.Marshal(r)
		})
	}
	r, err := b.recall(ctx)
	if err != nil {
		return err
	}
	change(&r)
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(b.d.Config.Data, backupRecordFile), text)
}

// note changes the record of what was done: that stays done where the record cannot be written. False: this box decides no more, and
// whoever does goes by what is there.
func (b *backups) note(ctx context.Context, change func(*backupRecord)) bool {
	err := b.remember(ctx, change)
	if ctx.Err() != nil || errors.Is(err, cluster.ErrDeposed) {
		return false
	}
	if err != nil {
		b.d.Log.Warn("what is known of backups could not be written down", "error", err)
	}
	return true
}

// identity is which appliance this is, among those whose backups lie in one directory. One that was restored is another: what it was
// restored from is not its own to remove. cluster.ErrDeposed where another box decides by now: it may have another answer.
func (b *backups) identity(ctx context.Context) (string, error) {
	b.naming.Lock()
	defer b.naming.Unlock()
	if b.named {
		return b.id, nil
	}
	if b.id == "" {
		b.id = hex.EncodeToString(binary.BigEndian.AppendUint32(nil, rand.Uint32()))
	}
	err := b.remember(ctx, func(r *backupRecord) {
		r.Appliance = cmp.Or(r.Appliance, b.id)
		b.id = r.Appliance
	})
	b.named = err == nil // else it is asked again, and the same until then
	if errors.Is(err, cluster.ErrDeposed) {
		return "", err
	}
	return b.id, nil
}
