package events

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// HardwareSnapshot records the facts that are known about the machine's hardware. It is
// taken when the daemon starts after a boot or with different hardware, on request, and
// before a plan for packages that depend on the hardware.
type HardwareSnapshot struct {
	Reason      HardwareSnapshotReason `json:"reason"`
	BootID      string                 `json:"boot_id,omitempty"`
	DevicesHash string                 `json:"devices"` // hash of the set of devices; with BootID the key of the stable facts
	StableHash  string                 `json:"stable"`  // hash of the stable facts' keys and values
	Facts       []HardwareFact         `json:"facts"`   // sorted by key, each key once
	TookUs      int64                  `json:"took_us"`
}

// HardwareChanged records the stable facts that differ between two successive
// snapshots. It is appended right before the later one.
type HardwareChanged struct {
	Before  Position         `json:"before"` // of the earlier snapshot
	Changes []HardwareChange `json:"changes"`
}

// HardwareSnapshotRequest asks for a hardware snapshot. The snapshot names the request
// as its cause.
type HardwareSnapshotRequest struct{}

// HardwareSnapshotReason is why a snapshot was taken.
type HardwareSnapshotReason string

// The reasons.
const (
	HardwareSnapshotAtStart    HardwareSnapshotReason = "start"
	HardwareSnapshotOnRequest  HardwareSnapshotReason = "request"
	HardwareSnapshotBeforePlan HardwareSnapshotReason = "plan"
)

// HardwareFact is one property of the hardware, or one that could not be determined.
// Keys end in their unit: _b bytes, _mhz megahertz, _mbps megabits per second.
type HardwareFact struct {
	Key        string        `json:"key"`             // cpu.model, gpu.0000:01:00.0.vram_total_b
	Value      HardwareValue `json:"value,omitempty"` // "" when it is unknown; Error has the reason
	Source     string        `json:"source"`          // a path or another source
	Confidence Confidence    `json:"confidence"`
	Error      string        `json:"error,omitempty"`
	// Volatile facts change by themselves, such as free memory. They are not compared,
	// and a recorded value is not used as an answer.
	Volatile bool `json:"volatile,omitempty"`
}

// Confidence is how reliable a hardware fact is.
type Confidence string

// The degrees of confidence.
const (
	ConfidenceCertain Confidence = "certain" // read from the kernel, the firmware or the driver
	ConfidenceDerived Confidence = "derived" // follows from certain ones by a rule or a table
	ConfidenceGuess   Confidence = "guess"   // likely
	ConfidenceUnknown Confidence = "unknown" // could not be determined; Error has the reason
)

// HardwareChange is one stable fact that differs. An empty value means that the fact is
// absent or unknown.
type HardwareChange struct {
	Key    string        `json:"key"`
	Before HardwareValue `json:"before,omitempty"`
	After  HardwareValue `json:"after,omitempty"`
}

// HardwareValue is a value in its JSON form: text, a whole number, true or false,
// or a list of texts. "" is the absence of a value.
type HardwareValue string

// TextValue returns a text. Invalid UTF-8 becomes a question mark.
func TextValue(s string) HardwareValue {
	data, err := json.Marshal(strings.ToValidUTF8(s, "?"))
	if err != nil {
		return ""
	}
	return HardwareValue(data)
}

// NumberValue returns a whole number.
func NumberValue(n int64) HardwareValue { return HardwareValue(strconv.FormatInt(n, 10)) }

// BoolValue returns true or false.
func BoolValue(b bool) HardwareValue { return HardwareValue(strconv.FormatBool(b)) }

// ListValue returns a list of texts; nil is an empty list.
func ListValue(list []string) HardwareValue {
	if list == nil {
		list = []string{}
	}
	data, err := json.Marshal(list)
	if err != nil {
		return ""
	}
	return HardwareValue(data)
}

// String returns the value for people: texts without quotes, lists separated by spaces.
func (v HardwareValue) String() string {
	if list := v.List(); list != nil {
		return strings.Join(list, " ")
	}
	var s string
	if json.Unmarshal([]byte(v), &s) == nil {
		return s
	}
	return string(v)
}

// Int is the number; ok is false for any other value.
func (v HardwareValue) Int() (n int64, ok bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil
}

// IsTrue reports whether the value is true.
func (v HardwareValue) IsTrue() bool { return v == "true" }

// List is the list; nil for any other value.
func (v HardwareValue) List() []string {
	if !strings.HasPrefix(string(v), "[") {
		return nil
	}
	list := []string{}
	if json.Unmarshal([]byte(v), &list) != nil {
		return nil
	}
	return list
}

// MarshalJSON returns the value, which is JSON already.
func (v HardwareValue) MarshalJSON() ([]byte, error) {
	if v == "" {
		return []byte("null"), nil
	}
	return []byte(v), nil
}

// UnmarshalJSON accepts texts, whole numbers, true, false, null and lists of texts.
func (v *HardwareValue) UnmarshalJSON(data []byte) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return err
	}
	w := HardwareValue(compact.String())
	switch {
	case w == "null":
		*v = ""
		return nil
	case w == "true", w == "false":
	case w.List() != nil:
		w = ListValue(w.List())
	case strings.HasPrefix(string(w), `"`):
		w = TextValue(w.String())
	default:
		if _, ok := w.Int(); !ok {
			return fmt.Errorf("%.40q is not a text, whole number, boolean or list of texts", string(w))
		}
	}
	*v = w
	return nil
}

// FindHardwareFact returns the fact with that key. The facts must be sorted.
func FindHardwareFact(facts []HardwareFact, key string) (HardwareFact, bool) {
	i, ok := slices.BinarySearchFunc(facts, key, func(f HardwareFact, k string) int { return cmp.Compare(f.Key, k) })
	if !ok {
		return HardwareFact{}, false
	}
	return facts[i], true
}

// StableHash identifies the stable facts that are known: hex SHA-256 of their keys
// and values. Facts must be sorted.
func StableHash(facts []HardwareFact) string {
	h := sha256.New()
	for _, f := range facts {
		if !f.Volatile && f.Value != "" {
			fmt.Fprintf(h, "%s\x00%s\n", f.Key, f.Value)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// DiffHardware lists the stable facts that differ, by key.
func DiffHardware(before, after []HardwareFact) []HardwareChange {
	values := map[string]*HardwareChange{}
	at := func(k string) *HardwareChange {
		if values[k] == nil {
			values[k] = &HardwareChange{Key: k}
		}
		return values[k]
	}
	for _, f := range before {
		if !f.Volatile {
			at(f.Key).Before = f.Value
		}
	}
	for _, f := range after {
		if !f.Volatile {
			at(f.Key).After = f.Value
		}
	}
	changes := []HardwareChange{}
	for _, c := range values {
		if c.Before != c.After {
			changes = append(changes, *c)
		}
	}
	slices.SortFunc(changes, func(a, b HardwareChange) int { return cmp.Compare(a.Key, b.Key) })
	return changes
}

// Validate checks a snapshot's form and limits: keys are sorted, each occurs once, and
// each fact has a value or the reason why it has none.
func (s *HardwareSnapshot) Validate() error {
	if len(s.Facts) > MaxHardwareFacts {
		return fmt.Errorf("%d hardware facts; at most %d are allowed", len(s.Facts), MaxHardwareFacts)
	}
	for i, f := range s.Facts {
		switch {
		case f.Key == "" || len(f.Key) > MaxHardwareKeyBytes:
			return fmt.Errorf("hardware fact %d has no usable key", i)
		case i > 0 && s.Facts[i-1].Key >= f.Key:
			return fmt.Errorf("hardware fact %s is out of order", f.Key)
		case len(f.Value) > MaxHardwareValueBytes:
			return fmt.Errorf("hardware fact %s has %d bytes; at most %d are allowed", f.Key, len(f.Value), MaxHardwareValueBytes)
		case f.Value == "" && f.Error == "":
			return fmt.Errorf("hardware fact %s has neither value nor error", f.Key)
		case f.Source == "" || f.Confidence == "":
			return fmt.Errorf("hardware fact %s has no source or confidence", f.Key)
		}
	}
	return nil
}

// Known reports whether the fact has a value.
func (f HardwareFact) Known() bool { return f.Value != "" }

// Kind implements [Fact].
func (*HardwareSnapshot) Kind() Kind { return KindHardwareSnapshot }

// Kind implements [Fact].
func (*HardwareChanged) Kind() Kind { return KindHardwareChanged }

func (*HardwareSnapshot) fact()       {}
func (*HardwareSnapshot) standalone() {}
func (*HardwareChanged) fact()        {}
func (*HardwareChanged) standalone()  {}

// Kind implements [Request].
func (*HardwareSnapshotRequest) Kind() Kind { return KindHardwareSnapshotRequested }

// MayChangeMachine implements [Request]: a snapshot changes nothing.
func (*HardwareSnapshotRequest) MayChangeMachine() bool { return false }

// Validate implements [Request].
func (*HardwareSnapshotRequest) Validate() error { return nil }

func (*HardwareSnapshotRequest) request() {}
