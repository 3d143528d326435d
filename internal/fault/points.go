package fault

// Point is a step at which a process can be made to die.
type Point string

// The points, in the order in which a snapshot, a trim and a reset pass them.
const (
	// BeforePut: the snapshot is encoded, nothing of it is stored.
	BeforePut Point = "before-put"
	// AfterPut: the file is there; it was not read back.
	AfterPut Point = "after-put"
	// BeforePointer: it was verified; nothing points at it.
	BeforePointer Point = "before-pointer"
	// AfterPointer: the record points at it; the segments are not written.
	AfterPointer Point = "after-pointer"
	// AfterSegment: the segments are there; the record does not say so.
	AfterSegment Point = "after-segment"
	// BeforeTrim: the record has all; the log is as long as before.
	BeforeTrim Point = "before-trim"
	// MidTrim: the trim was handed to the store and is not finished.
	MidTrim Point = "mid-trim"
	// AfterTrim: all is done.
	AfterTrim Point = "after-trim"

	// AfterRetired: a reset has written the retired clients.
	AfterRetired Point = "after-retired"
	// BeforeReset: it has written everything; the record knows nothing of it.
	BeforeReset Point = "before-reset"
	// AfterReset: the record is at the next generation; nobody was told.
	AfterReset Point = "after-reset"
)

// PointVariable is the environment variable that names the point at which to
// die: "mid-trim" the first time, "mid-trim:3" the third time that it is
// reached.
const PointVariable = "YSYNC_FAULT_POINT"
