package auditsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"cortex/events"
)

// SyslogSink sends a short JSON object for each fact, without its data, to the syslog socket
// of the machine. Create one with [OpenSyslogSink].
type SyslogSink struct {
	conn           net.Conn
	checkpointPath string
	lock           *os.File
	checkpoint     Checkpoint
}

var _ Sink = (*SyslogSink)(nil)

// priority is facility authpriv (10), severity notice (5).
const priority = 10<<3 | 5

// OpenSyslogSink connects to a socket such as /dev/log. It stores the checkpoint in the file
// checkpoint.
func OpenSyslogSink(socket, checkpoint string) (*SyslogSink, error) {
	lock, err := acquireLock(checkpoint + ".lock")
	if err != nil {
		return nil, err
	}
	s := &SyslogSink{checkpointPath: checkpoint, lock: lock}
	if s.checkpoint, err = readCheckpoint(checkpoint); err == nil {
		s.conn, err = net.Dial("unixgram", socket)
	}
	if err != nil {
		return nil, errors.Join(unavailableError(socket, err), lock.Close())
	}
	return s, nil
}

// Checkpoint implements [Sink].
func (s *SyslogSink) Checkpoint() Checkpoint { return s.checkpoint }

// syslogMessage is the message for one fact.
type syslogMessage struct {
	Position    events.Position      `json:"position"`
	ID          events.ID            `json:"id"`
	Type        events.Kind          `json:"type"`
	Time        time.Time            `json:"time"`
	Subject     string               `json:"subject"`
	Transaction events.TransactionID `json:"transaction,omitempty"`
	Actor       events.Actor         `json:"actor"`
	Hash        string               `json:"hash"`
}

// Write implements [Sink]. It writes the checkpoint after each message.
func (s *SyslogSink) Write(records []events.Record) error {
	for _, r := range records {
		b, err := json.Marshal(syslogMessage{r.Position, r.ID, r.Kind, r.Time.UTC(), r.Subject.String(), r.Transaction, r.Actor, r.Hash.String()})
		if err != nil {
			return unavailableError("syslog", err)
		}
		// The format of local programs: priority, time, program[process].
		_, err = fmt.Fprintf(s.conn, "<%d>%s cortex[%d]: %s", priority, r.Time.Local().Format(time.Stamp), os.Getpid(), b)
		if err != nil {
			return unavailableError("syslog", err)
		}
		s.checkpoint = checkpointOf(r)
		if err := writeCheckpoint(s.checkpointPath, s.checkpoint); err != nil {
			return err
		}
	}
	return nil
}

// Close implements [Sink].
func (s *SyslogSink) Close() error { return errors.Join(s.conn.Close(), s.lock.Close()) }
