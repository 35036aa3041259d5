package filestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/minio/highwayhash"
)

// A block is a sequence of records:
//
//	length uint32 (high bit: has headers), sequence uint64, time uint64,
//	subject length uint16, subject, [header length uint32, headers], data,
//	checksum (HighwayHash-64, keyed by SHA-256 of "STREAM-BLOCK")
//
// All numbers are little endian. Two bits of the sequence mark a record without a
// message: the tombstone of a message that was deleted, and a message whose content
// was overwritten with random bytes.
const (
	headerBytes    = 22
	checksumBytes  = 8
	hasHeadersBit  = 1 << 31
	erasedBit      = 1 << 63
	tombstoneBit   = 1 << 62
	maxRecordBytes = 32 << 20
)

// Message is one stored message.
type Message struct {
	Seq       uint64
	Time      int64 // Unix time in nanoseconds
	Subject   string
	RawHeader []byte // as sent by NATS, from "NATS/1.0"; empty without headers
	Data      []byte
	Erased    bool // the content was overwritten; only Seq is set
}

// Headers returns the message's headers, and nil when RawHeader is not a NATS
// header. Of a header with several values it returns the last.
func (m Message) Headers() map[string]string {
	_, lines, ok := strings.Cut(string(m.RawHeader), "\r\n")
	if !ok || !strings.HasPrefix(string(m.RawHeader), "NATS/1.0") {
		return nil
	}
	out := make(map[string]string, 20)
	for line := range strings.SplitSeq(lines, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

var errIncomplete = errors.New("a record is incomplete")

// checkRecord checks the length and the checksum of the record at the beginning of
// b, and returns its length.
func checkRecord(checksum *highwayhash.Digest64, b []byte) (int, error) {
	if len(b) < headerBytes+checksumBytes {
		return 0, errIncomplete
	}
	raw := binary.LittleEndian.Uint32(b)
	length, subject := int(raw&^hasHeadersBit), int(binary.LittleEndian.Uint16(b[20:]))
	skip := 0 // the length of the headers is not part of the checksum
	if raw&hasHeadersBit != 0 {
		skip = 4
	}
	if length < headerBytes+subject+skip+checksumBytes || length > maxRecordBytes {
		return 0, fmt.Errorf("a record has the invalid length %d", length)
	}
	if length > len(b) {
		return 0, errIncomplete
	}
	checksum.Reset()
	_, _ = checksum.Write(b[4:20])
	_, _ = checksum.Write(b[headerBytes : headerBytes+subject])
	_, _ = checksum.Write(b[headerBytes+subject+skip : length-checksumBytes])
	if checksum.Sum64() != binary.LittleEndian.Uint64(b[length-checksumBytes:length]) {
		return 0, errors.New("a record does not match its checksum")
	}
	return length, nil
}

// parseRecord returns the message in a complete record. A tombstone keeps its bit in
// Seq.
func parseRecord(b []byte) (Message, error) {
	raw, subject := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[20:]))
	seq := binary.LittleEndian.Uint64(b[4:])
	if seq&erasedBit != 0 {
		return Message{Seq: seq &^ erasedBit, Erased: true}, nil
	}
	body := b[headerBytes+subject : len(b)-checksumBytes]
	m := Message{
		Seq: seq, Subject: string(b[headerBytes : headerBytes+subject]), Data: body,
		Time: int64(binary.LittleEndian.Uint64(b[12:])), // written as an int64
	}
	if raw&hasHeadersBit == 0 {
		return m, nil
	}
	n := int(binary.LittleEndian.Uint32(body))
	if n > len(body)-4 {
		return Message{}, errors.New("the headers of a record exceed its length")
	}
	m.RawHeader, m.Data = body[4:4+n], body[4+n:]
	return m, nil
}

// isTorn reports whether the bytes from offset on can be writes that a crash or a
// power failure interrupted. That is so when the record there reaches the end of the
// file or exceeds it, or when the disk stored some of the last sectors and not others.
func isTorn(buf []byte, offset int) bool {
	remaining := buf[offset:]
	if len(remaining) < headerBytes+checksumBytes {
		return true
	}
	length := int(binary.LittleEndian.Uint32(remaining) &^ hasHeadersBit)
	return length >= len(remaining) && length <= maxRecordBytes || hasZeroSector(buf, offset)
}

// sectorBytes is the unit that a disk writes completely or not at all. A sector of a
// growing file that was not written reads as zeros. No record has so many zeros.
const sectorBytes = 512

// hasZeroSector reports whether a sector from offset on consists of zeros.
func hasZeroSector(buf []byte, offset int) bool {
	for begin := offset; begin < len(buf); {
		end := min(begin/sectorBytes*sectorBytes+sectorBytes, len(buf))
		inChecksum := end == len(buf) && end-begin < checksumBytes // may be zeros by chance
		if !inChecksum && !slices.ContainsFunc(buf[begin:end], func(b byte) bool { return b != 0 }) {
			return true
		}
		begin = end
	}
	return false
}
