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

// Name is the name of the read model and of its file.
const Name = "answers"

// Version is the version of the tables and of the limits below.
const Version = 1

// The limits of the cache.
const (
	// TTL is how long an answer is valid.
	TTL = 30 * 24 * time.Hour
	// MaxBytes bounds the size of all answers together.
	MaxBytes = 32 << 20
	// MaxAnswerBytes bounds the size of one answer. A larger answer is not cached.
	MaxAnswerBytes = 256 << 10
	// rowBytes is the estimated size of a row without its texts.
	rowBytes = 256
)

// Scope names everything besides the question that an answer depends on.
type Scope struct {
	Release  string `json:"release"`  // such as debian-12
	Arch     string `json:"arch"`     // dpkg's name of the architecture
	Hardware string `json:"hardware"` // the hardware class, as far as answers depend on it
	Indexes  string `json:"indexes"`  // fingerprint of the package indexes
	Schema   string `json:"schema"`   // of the forms of the question and the answer
	Memory   string `json:"memory,omitempty"`
}

// MemoryHash returns the hash of the user's memory in a prompt, or "" for no memory.
func MemoryHash(memory string) string {
	if memory == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(memory))
	return hex.EncodeToString(sum[:16])
}

// Hash returns a hash of the scope.
func (s Scope) Hash() string {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err) // a struct of strings can be marshaled
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

//go:embed schema.sql
var schema string

// Definition defines the read model.
func Definition() projections.Definition { return definition(MaxBytes) }

func definition(maxBytes int64) projections.Definition {
	return projections.Definition{
		Name: Name, Version: Version, Schema: schema,
		Handlers: []projections.Handler{
			projections.On(func(tx *projections.Tx, r events.Record, f *events.LLMCompleted) error {
				if f.Cache != "" {
					return countUse(tx, r.Position, f.CachedFrom)
				}
				return insertAnswer(tx, r, f, maxBytes)
			}),
			projections.On(forgetAnswers),
		},
	}
}

// rowSize estimates the size of the row of an answer.
func rowSize(f *events.LLMCompleted) int64 {
	return int64(rowBytes + len(f.Scope) + len(f.ExactKey) + len(f.CanonicalKey) + len(f.Task) + len(f.Model) + len(f.Question) + len(f.Answer))
}

func insertAnswer(tx *projections.Tx, r events.Record, f *events.LLMCompleted, maxBytes int64) error {
	if f.Scope == "" || f.ExactKey == "" || len(f.Answer) > MaxAnswerBytes {
		return nil
	}
	if err := deleteAnswers(tx, "expired", `SELECT id FROM answers WHERE at <= ?`, r.Time.Add(-TTL).UnixNano()); err != nil {
		return err
	}
	if err := deleteAnswers(tx, "replaced", `SELECT id FROM answers WHERE scope = ? AND exact = ?`, f.Scope, f.ExactKey); err != nil {
		return err
	}
	at := int64(r.Position)
	if _, err := tx.Exec(`INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)`, string(r.ID), at, r.Time.UnixNano(),
		f.Scope, f.ExactKey, f.CanonicalKey, string(f.Task), f.Model, f.Question, f.Answer, rowSize(f), f.Cost, at); err != nil {
		return err
	}
	if err := addToTotals(tx, "given", 1, rowSize(f)); err != nil {
		return err
	}
	return evictAnswers(tx, maxBytes)
}

// evictAnswers deletes the least recently used answers until the rest fits.
func evictAnswers(tx *projections.Tx, maxBytes int64) error {
	for {
		var total int64
		if err := tx.QueryRow(`SELECT bytes FROM totals WHERE id = 1`, nil, &total); err != nil || total <= maxBytes {
			return err
		}
		if err := deleteAnswers(tx, "evicted", `SELECT id FROM answers ORDER BY used, id LIMIT 1`); err != nil {
			return err
		}
	}
}

// counterStatements are the statements that count. SQL has no parameters for column names.
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

// deleteAnswers deletes the answers whose ids a query selects.
func deleteAnswers(tx *projections.Tx, counter, query string, args ...any) error {
	ids, err := queryIDs(tx, query, args)
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

func queryIDs(tx *projections.Tx, query string, args []any) (out []string, err error) {
	err = tx.Each(query, args, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		out = append(out, id)
		return err
	})
	return out, err
}

// countUse counts one use of an answer. It ignores an answer that was deleted.
func countUse(tx *projections.Tx, at events.Position, answer events.ID) error {
	n, err := tx.Exec(`UPDATE answers SET uses = uses + 1, used = ? WHERE id = ?`, int64(at), string(answer))
	if err != nil || n == 0 {
		return err
	}
	_, err = tx.Exec(`UPDATE totals SET uses = uses + 1, saved = saved + (SELECT cost FROM answers WHERE id = ?) WHERE id = 1`, string(answer))
	return err
}

func forgetAnswers(tx *projections.Tx, _ events.Record, f *events.AnswersForgotten) error {
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
