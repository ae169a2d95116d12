package storage

import (
	"context"
	"iter"
	"math"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
)

// Limits of what an engine keeps, whatever its Admitter lets in: formats hold
// them. Limits that an operator would set are far below.
const (
	// LabelsMax bounds the labels of a series, LabelSizeMax the bytes of one name
	// or value. A label set over them is invalid (ReasonInvalidLabels).
	LabelsMax    = 4096
	LabelSizeMax = 1 << 20
	// MetadataSizeMax bounds the bytes of all that is said about one metric
	// family; what is over it is left out.
	MetadataSizeMax = 64 << 10
)

// GroupKind says what a batch implies about the members it does not mention.
type GroupKind uint8

// The kinds of groups.
const (
	// Closed: one writer knows all members; who is not mentioned continues
	// with its last value, or stays absent after a stale marker. A member that
	// another group has written since does not continue, and a new writer
	// implies nothing of the one before.
	Closed GroupKind = iota + 1
	// Open: any number of writers; who is not mentioned is absent.
	Open
)

// GroupSpec names a group of a tenant.
type GroupSpec struct {
	Kind GroupKind
	// Key is the placement key of every series of the group (series.KeyOf).
	Key series.Key
	// Name tells closed groups of one key apart and names the writer in
	// reports, as in "scrape:node/http://10.0.0.7:9100/metrics". Open groups
	// of one key and name are one group, whoever opens them.
	Name string
	// Merges says that the writer makes one sample of those of several label sets
	// that were given one slot, within one batch.
	Merges bool
	// Scraped says that an open group's samples are of scrapes: late ones are
	// taken as an engine takes them from closed groups, by default not at all.
	Scraped bool
}

// Durability says what Commit waits for.
type Durability uint8

// The levels of durability.
const (
	// Logged: the batch is visible when it is logged, and durable within the
	// log's sync interval (1 s unless configured).
	Logged Durability = iota + 1
	// Synced: the batch is durable when Commit returns, and visible to every
	// view taken after that.
	Synced
)

// Slot names a member of a group within one version of its membership. Slots
// are numbered from 0 and densely, so that a writer may index by slot.
type Slot uint32

// NoSlot is the slot of a label set that was refused.
const NoSlot Slot = math.MaxUint32

// Writer is the side of a Store that takes samples. All methods are safe for
// concurrent use.
type Writer interface {
	// OpenGroup returns the group that spec names. Opening a closed group ends
	// the handle that was open before: its appends fail with ErrGroupClosed.
	// The handle must be closed when its writer ends.
	OpenGroup(ctx context.Context, id tenant.ID, spec GroupSpec) (Group, error)

	// Commit logs prepared batches as one unit of durability, applies them in
	// the order given and writes each one's outcome to its Prepared. On an
	// error nothing of them was applied or acknowledged (a failed log, a
	// cancelled wait before logging), except with ErrUncertain: then the log
	// may or may not hold them, and sending them again is harmless (N1).
	Commit(ctx context.Context, d Durability, batches ...Prepared) error
}

// Group takes batches for one group. A closed group's methods are called by
// one goroutine at a time; an open group's by any number.
type Group interface {
	// Resolve finds the slot of every label set of lsets and writes it, or the
	// reason why there is none, to out (of the same length). The admitter is
	// asked for label sets that the tenant does not have yet. A new member
	// becomes a series with its first committed sample; members that were
	// never mentioned by a committed batch are forgotten at the next Abort or
	// Close. The version returned is the one the slots belong to.
	//
	// The label sets are not kept: the caller may reuse their memory.
	Resolve(ctx context.Context, lsets []labels.Labels, out []Resolution) (version uint64, err error)

	// Prepare checks b against the membership without logging anything. It
	// fails with ErrVersion when b.Version is not the current one: the caller
	// resolves all its members again. b is not copied: it must stay as it is
	// until the Prepared is committed or aborted.
	Prepare(ctx context.Context, b *Batch) (Prepared, error)

	// Append prepares and commits b.
	Append(ctx context.Context, b *Batch, d Durability) (Result, error)

	// Close gives the handle back. It writes nothing: a writer that ends for
	// good sends a batch with BodyStale first.
	Close() error
}

// Prepared is a batch between Prepare and Commit or Abort.
type Prepared interface {
	// Result is the outcome of the commit.
	Result() Result
	// Abort drops the batch, and the members that were resolved for it and
	// never written. After a commit it does nothing.
	Abort()
}

// Resolution is the answer to one label set.
type Resolution struct {
	Slot   Slot
	Reason Reason
	// Merged: the series was given other labels (Shaper). Other label sets may
	// have the same slot: the writer makes one sample of theirs. Only groups whose
	// spec says Merges see it.
	Merged bool
}

// Batch is one position of a group's time column.
type Batch struct {
	// Time is the position's timestamp, ms since the Unix epoch.
	Time int64
	// Version is the membership's version that Slots belong to.
	Version uint64
	// Slots and Values are parallel: the value of each member mentioned. A
	// slot occurs at most once. A value with StaleNaN's bits is a stale marker.
	Slots  []Slot
	Values []float64
	// Starts are the start timestamps (ms), parallel to Slots, 0 where there
	// is none; nil when no member has one.
	Starts []int64
	// Histograms are native histogram samples. Their slots are not in Slots. They
	// are not kept: the caller may change them when the batch is committed.
	Histograms []HistogramSample
	// Exemplars belong to members, mentioned in this batch or not.
	Exemplars []ExemplarSample
	// Metadata is what the writer learned about metric families.
	Metadata []Metadata
	// BodyStale makes every present member that is not mentioned stale at this
	// position: a failed scrape is one bit. Only for closed groups.
	BodyStale bool
}

// HistogramSample is one native histogram of a member.
type HistogramSample struct {
	Slot Slot
	Histogram
	Start int64
}

// Histogram is a native histogram: exactly one of Int and Float is set. One
// whose sum has StaleNaN's bits is a stale marker.
type Histogram = column.Histogram

// ExemplarSample is one exemplar of a member.
type ExemplarSample struct {
	Slot     Slot
	Exemplar exemplar.Exemplar
}

// Metadata describes a metric family.
type Metadata struct {
	Family string
	Type   model.MetricType
	Unit   string
	Help   string
}

// SizeBytes is what counts towards MetadataSizeMax.
func (m *Metadata) SizeBytes() int { return len(m.Family) + len(m.Type) + len(m.Help) + len(m.Unit) }

// Result says what became of a batch.
type Result struct {
	// Appended counts the samples stored: mentioned or continued, stale
	// markers included, repeats of what was there (N1) not.
	Appended int
	// Rejected lists the entries that were not stored; empty almost always.
	Rejected []Rejection
}

// Rejection is one entry of a batch that was not stored: Index counts through
// Slots, then Histograms, then Exemplars.
type Rejection struct {
	Index  int
	Slot   Slot
	Reason Reason
}

// Admitter decides about label sets that a tenant does not have yet. It is
// implemented by limits and called by the engine for unknown label sets only,
// with no lock of the engine's index held that Admit could need. It must be
// fast (no I/O) and safe for concurrent use. lset is valid during the call.
type Admitter interface {
	// Admit returns ReasonNone to let the series in.
	Admit(id tenant.ID, key series.Key, lset labels.Labels) Reason
}

// Shaper is an Admitter that may give a series other labels when it is new. It
// is asked before Admit, under the same conditions; when a series has the labels
// that it answers with, or gets them in this batch, Admit is not asked at all.
type Shaper interface {
	Admitter
	// Shape returns the labels under which to store a series, whether they are
	// others than lset, and ReasonNone; or why it is refused. They are others only
	// where o.Merges is set, and have the same placement key. The labels returned
	// may be lset itself.
	Shape(id tenant.ID, key series.Key, lset labels.Labels, o Offer) (as labels.Labels, other bool, reason Reason)
}

// Offer is what a Shaper is told of the group that a new series is for.
type Offer struct {
	// Merges is GroupSpec.Merges.
	Merges bool
	// Pending gives label sets that were let into the group and have no committed
	// sample yet, so that no index has them: the newest first, and not all where
	// there are very many. It is valid during the call, as are the label sets; nil:
	// there are none.
	Pending iter.Seq[labels.Labels]
}

// AdmitAll is the Admitter without limits.
type AdmitAll struct{}

// Admit lets every series in.
func (AdmitAll) Admit(tenant.ID, series.Key, labels.Labels) Reason { return ReasonNone }
