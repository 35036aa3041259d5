// Package lines reads text line by line. It promises to use bounded memory: it cuts a line that
// is longer than the limit and continues with the next line. [bufio.Scanner] stops at such a
// line.
package lines

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// Each calls use for each line of r, without its line end and with at most limit bytes. The
// last line does not need a line end. It returns the first error of r other than io.EOF.
func Each(r io.Reader, limit int, use func(line string)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var long []byte // the beginning of a line that is longer than the buffer
	for {
		part, err := in.ReadSlice('\n')
		text := part
		if long != nil || errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part[:max(0, min(len(part), limit-len(long)))]...)
			text = long
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(text) > 0 {
			line := strings.TrimRight(string(text), "\r\n")
			use(line[:min(len(line), limit)])
		}
		long = nil
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
