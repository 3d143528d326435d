package pebble

import (
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// ExitDiskFailed is the exit code of a process that stopped because a write or
// fsync that durability hangs on has failed. (74 is EX_IOERR.)
const ExitDiskFailed = 74

// Options tells Open what to open. Only Dir is needed.
type Options struct {
	// Dir is the folder of the log. It is created, and belongs to the log alone.
	Dir string
	// FS is the file system that holds Dir; nil is the operating system's.
	FS vfs.FS
	// Logger takes what an operator should read, and the database's own
	// messages at debug level; nil discards them.
	Logger *zap.Logger
	// Space says when to stop writing for want of disk space.
	Space Space

	// MemTableBytes is the size of the in-memory table that collects writes
	// before they go to a sorted file; default 16 MiB. Up to four exist at once.
	MemTableBytes int
	// CacheBytes is the size of the cache of blocks read; default 32 MiB.
	CacheBytes int
	// Records is how many documents' records are kept in memory, beside those
	// in use; default 16,384, about 400 bytes each.
	Records int

	// now and exit are the clock and the end of the process.
	now  func() time.Time
	exit func(code int)
}

// Space is the policy for a disk that fills up: while less than Stop is
// available, appends are refused with ErrReadOnly; they are taken again when
// Resume is. Claims, pointers, trims and erasures always go through: they are
// small, and some of them make space.
type Space struct {
	// StopBytes is the mark; 0 means a fiftieth of the disk, but at least
	// 48 MiB (what the in-memory tables may still have to write), at most
	// 256 MiB, and never more than a quarter of the disk.
	StopBytes int64
	// ResumeBytes is the mark for writing again; 0 means a quarter above
	// StopBytes, so that the state does not flicker.
	ResumeBytes int64
	// BallastBytes is the size of the file "ballast" that Open puts into the
	// folder when there is room: whoever deletes it on a full disk gets that
	// much space for an orderly way out. 0 means half of StopBytes; negative
	// means no ballast.
	BallastBytes int64
	// Interval is how old a look at the free space may be; default 1 s. A
	// burst of appends looks sooner, by its size.
	Interval time.Duration
}

// DefaultStopBytes is what Space.StopBytes is for a disk of so many bytes.
func DefaultStopBytes(total int64) int64 {
	return min(max(total/50, 48<<20), 256<<20, total/4)
}

// withDefaults returns o with its defaults filled in.
func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = 16 << 20
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 32 << 20
	}
	if o.Records <= 0 {
		o.Records = 16 << 10
	}
	if o.Space.Interval <= 0 {
		o.Space.Interval = time.Second
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.exit == nil {
		o.exit = os.Exit
	}
	return o
}
