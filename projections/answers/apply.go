package answers

import (
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"cortex/events"
	"cortex/projections"
)

// Name is the read model's name, and its file's.
const Name = "answers"

// Version is the version of the tables and of the limits below.
const Version = 1

// Limits of what is kept.
const (
	// TTL is how long an answer is good.
	TTL = 30 * 24 * time.Hour
	// MaxBytes bounds all answers together.
	MaxBytes = 32 << 20
	// MaxAnswerBytes bounds one answer; a larger one is not kept.
	MaxAnswerBytes = 256 << 10
	// rowBytes is what a row takes besides its texts.
	rowBytes = 256
)

// Scope is what an answer depends on besides the question.
type Scope struct {
	Release  string `json:"release"`  // such as debian-12
	Arch     string `json:"arch"`     // dpkg's name of the architecture
	Hardware string `json:"hardware"` // class of hardware, as far as answers depend on it
	Indexes  string `json:"indexes"`  // fingerprint of the package indexes
	Schema   string `json:"schema"`   // of the question's form and the answer's
	Memory   string `json:"memory,omitempty"`
}

// MemoryHash stands for what a model is told of the person who asks; "" for nothing.
func MemoryHash(told string) string {
	if told == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(told))
	return hex.EncodeToString(sum[:16])
}

// Hash stands for the scope; equal for equal scopes only.
func (s Scope) Hash() string {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain texts
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// AnswerToCache is a completed call of a model, as far as the cache needs it.
type AnswerToCache struct {
	Scope        string // a scope's hash
	ExactKey     string // hash of the normalised question with task and class of model
	CanonicalKey string // the question's canonical key's hash, or ""
	Task         string
	Model        string
	Question     string // redacted
	Answer       string
	Cost         int64 // micro-USD
}

// AnswerUses is how often an answer was used since it was counted last.
type AnswerUses struct {
	Answer events.ID
	Times  int64
}

// ExtractFunc reads from a fact the answer that it holds, or the uses that it counts, if
// any. The facts of the calls of models are read through it.
type ExtractFunc func(f events.Fact) (given *AnswerToCache, uses []AnswerUses)

//go:embed schema.sql
var schema string

// Projection writes the read model of what its source reads.
type Projection struct {
	Extract ExtractFunc

	maxBytes int64 // bytes; 0 means MaxBytes, and only a test means less
}

var _ projections.Projection = Projection{}

// Name implements [projections.Projection].
func (Projection) Name() string { return Name }

// Version implements [projections.Projection].
func (Projection) Version() int { return Version }

// Schema implements [projections.Projection].
func (Projection) Schema() string { return schema }

// Apply implements [projections.Projection].
func (p Projection) Apply(tx *projections.Tx, r events.Record, f events.Fact) error {
	if f, ok := f.(*events.AnswersForgotten); ok {
		return forgetAnswers(tx, f)
	}
	if p.Extract == nil {
		return nil
	}
	given, uses := p.Extract(f)
	switch {
	case given != nil:
		most := p.maxBytes
		if most == 0 {
			most = MaxBytes
		}
		return insertAnswer(tx, r, *given, most)
	case len(uses) > 0:
		return recordUses(tx, r.Position, uses)
	}
	return nil
}

// rowSize is about what the row takes.
func (g AnswerToCache) rowSize() int64 {
	return int64(rowBytes + len(g.Scope) + len(g.ExactKey) + len(g.CanonicalKey) + len(g.Task) + len(g.Model) + len(g.Question) + len(g.Answer))
}

func insertAnswer(tx *projections.Tx, r events.Record, g AnswerToCache, most int64) error {
	if g.Scope == "" || g.ExactKey == "" || len(g.Answer) > MaxAnswerBytes {
		return nil
	}
	if err := deleteAnswers(tx, "expired", `SELECT id FROM answers WHERE at <= ?`, r.Time.Add(-TTL).UnixNano()); err != nil {
		return err
	}
	if err := deleteAnswers(tx, "replaced", `SELECT id FROM answers WHERE scope = ? AND exact = ?`, g.Scope, g.ExactKey); err != nil {
		return err
	}
	at := int64(r.Position)
	if _, err := tx.Exec(`INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)`, string(r.ID), at, r.Time.UnixNano(),
		g.Scope, g.ExactKey, g.CanonicalKey, g.Task, g.Model, g.Question, g.Answer, g.rowSize(), g.Cost, at); err != nil {
		return err
	}
	if err := addToTotals(tx, "given", 1, g.rowSize()); err != nil {
		return err
	}
	for {
		var total int64
		if err := tx.QueryRow(`SELECT bytes FROM totals WHERE id = 1`, nil, &total); err != nil || total <= most {
			return err
		}
		if err := deleteAnswers(tx, "evicted", `SELECT id FROM answers ORDER BY used, id LIMIT 1`); err != nil {
			return err
		}
	}
}

// counterStatements are the statements that count; a name of a column cannot be a
// parameter.
var counterStatements = map[string]string{
	"given":     `INSERT INTO totals VALUES (1, ?2, ?1, 0, 0, 0, 0, 0, 0) ON CONFLICT (id) DO UPDATE SET given = given + ?1, bytes = bytes + ?2`,
	"expired":   `UPDATE totals SET expired = expired + ?1, bytes = bytes + ?2 WHERE id = 1`,
	"evicted":   `UPDATE totals SET evicted = evicted + ?1, bytes = bytes + ?2 WHERE id = 1`,
	"replaced":  `UPDATE totals SET replaced = replaced + ?1, bytes = bytes + ?2 WHERE id = 1`,
	"forgotten": `UPDATE totals SET forgotten = forgotten + ?1, bytes = bytes + ?2 WHERE id = 1`,
}

func addToTotals(tx *projections.Tx, counter string, n, bytes int64) error {
	_, err := tx.Exec(counterStatements[counter], n, bytes)
	return err
}

// deleteAnswers deletes the answers that a query names.
func deleteAnswers(tx *projections.Tx, counter, query string, args ...any) error {
	ids, err := queryIDs(tx, query, args...)
	if err != nil {
		return err
	}
	for _, id := range ids {
		var bytes int64
		err := tx.QueryRow(`SELECT bytes FROM answers WHERE id = ?`, []any{id}, &bytes)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM answers WHERE id = ?`, id); err != nil {
			return err
		}
		if err := addToTotals(tx, counter, 1, -bytes); err != nil {
			return err
		}
	}
	return nil
}

func queryIDs(tx *projections.Tx, query string, args ...any) (out []string, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

// recordUses counts uses. One of an answer that has left meanwhile counts nothing.
func recordUses(tx *projections.Tx, at events.Position, uses []AnswerUses) error {
	for _, u := range uses {
		if u.Times < 1 {
			continue
		}
		n, err := tx.Exec(`UPDATE answers SET uses = uses + ?, used = ? WHERE id = ?`, u.Times, int64(at), string(u.Answer))
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if _, err := tx.Exec(`UPDATE totals SET uses = uses + ?1, saved = saved + ?1 * (SELECT cost FROM answers WHERE id = ?2) WHERE id = 1`,
			u.Times, string(u.Answer)); err != nil {
			return err
		}
	}
	return nil
}

func forgetAnswers(tx *projections.Tx, f *events.AnswersForgotten) error {
	if f.All {
		return deleteAnswers(tx, "forgotten", `SELECT id FROM answers`)
	}
	for _, id := range f.Answers {
		if err := deleteAnswers(tx, "forgotten", `SELECT id FROM answers WHERE id = ?`, string(id)); err != nil {
			return err
		}
	}
	return nil
}
