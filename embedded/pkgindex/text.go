package pkgindex

import (
	"strings"
	"unicode"
)

// tokens returns the words of a text in lower case. The index splits texts the same way.
func tokens(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// stems returns the stems of a text's tokens without repetition.
func stems(s string) []string {
	seen := map[string]bool{}
	var out []string
	for _, t := range tokens(s) {
		if t = stem(t); !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out
}

// stem returns the common part of words such as "edit", "edits", "editing", "editor" and
// "edited". It is coarser than the stemmer of the index, because it decides only whether a
// word of the query occurs.
func stem(t string) string {
	for _, suffix := range []string{"isations", "izations", "isation", "ization", "ations", "ation", "ators", "ator", "ising", "izing", "ings", "ing", "ions", "ion", "ers", "ors", "ies", "er", "or", "ed", "es", "s", "e", "y"} {
		if len(t)-len(suffix) >= 3 && strings.HasSuffix(t, suffix) {
			t = t[:len(t)-len(suffix)]
			break
		}
	}
	if n := len(t); n > 3 && t[n-1] == t[n-2] { // "stopp" becomes "stop"
		t = t[:n-1]
	}
	return t
}

// stopWords are words that do not describe the purpose of a package.
var stopWords = wordSet(`a an the and or of for to in on with from by at as is are be it its this that these those i me my we our you your
	want need needs needed like would please can could some something anything thing things tool tools program programs software app apps application
	applications package packages utility utilities good best simple easy nice small use using used user how do does make makes let lets get gives give
	install installs installing help helps way which what machine computer system linux debian ubuntu my mine own up out into all any new more between via`)

// commonWords are names of packages that are everyday words.
var commonWords = wordSet(`time file make less more test tree list base data text host link sort diff core type mode main home menu note read
	play info work page root tool help name word view most find kill date mount patch screen script script login motion vim-doc science games music
	graphics network internet office video sound multimedia editor dict units when note rename procs parallel moreutils steam music jack`)

func wordSet(words string) map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		out[w] = true
	}
	return out
}

// synonyms maps a word of a query to words that descriptions use for it.
var synonyms = map[string][]string{
	"edit": {"editor"}, "editing": {"editor"}, "browse": {"browser"}, "browsing": {"browser"}, "play": {"player"}, "playing": {"player"},
	"watch": {"player", "viewer"}, "view": {"viewer"}, "viewing": {"viewer"}, "look": {"viewer"}, "read": {"reader", "viewer"}, "reading": {"reader", "viewer"},
	"listen": {"player"}, "draw": {"drawing"}, "paint": {"painting", "drawing"}, "burn": {"burning", "burner"}, "scan": {"scanner", "scanning"},
	"convert": {"converter", "conversion"}, "converting": {"converter"}, "compress": {"compression", "compressor", "archiver"}, "zip": {"archiver", "compression"},
	"unpack": {"archiver", "extract"}, "extract": {"archiver"}, "monitor": {"monitoring"}, "monitoring": {"monitor"}, "record": {"recorder", "recording"}, "recording": {"recorder"},
	"download": {"downloader"}, "downloading": {"downloader"}, "sync": {"synchronization", "synchronize"}, "synchronize": {"sync"}, "backup": {"backups"},
	"mail": {"email"}, "email": {"mail"}, "emails": {"mail"}, "pictures": {"images", "photos"}, "picture": {"image", "photo"}, "photos": {"photo", "image"}, "photo": {"image"}, "image": {"picture"}, "images": {"image", "picture"},
	"movie": {"video"}, "movies": {"video"}, "films": {"video"}, "song": {"music", "audio"}, "songs": {"music", "audio"}, "music": {"audio"}, "sound": {"audio"},
	"website": {"web"}, "websites": {"web"}, "site": {"web"}, "sites": {"web"}, "webserver": {"web", "http"}, "webpage": {"web"}, "internet": {"web"},
	"db": {"database"}, "sql": {"database"}, "chat": {"messenger", "messaging"}, "messenger": {"messaging"}, "notes": {"note"}, "todo": {"task"}, "tasks": {"task"},
	"spreadsheet": {"spreadsheets"}, "slides": {"presentation"}, "document": {"documents", "text"}, "writing": {"word", "processor"}, "word": {"processor"},
	"screenshot": {"screenshots", "capture"}, "screenshots": {"screenshot"}, "torrent": {"bittorrent"}, "torrents": {"bittorrent"}, "password": {"passwords"}, "passwords": {"password"},
	"firewall": {"netfilter"}, "virus": {"antivirus"}, "viruses": {"antivirus", "virus"}, "vm": {"virtual", "virtualization"}, "virtualization": {"virtual"}, "container": {"containers"}, "containers": {"container"},
	"3d": {"3d"}, "cad": {"cad"}, "subtitle": {"subtitles"}, "diagram": {"diagrams"}, "diagrams": {"diagram"}, "chart": {"plot"}, "graph": {"plot", "graphs"}, "plot": {"plotting"},
	"ide": {"development", "environment"}, "debug": {"debugger"}, "debugging": {"debugger"}, "compile": {"compiler"}, "compiling": {"compiler"}, "code": {"source"},
	"disk": {"disks", "storage"}, "disks": {"disk"}, "partition": {"partitions", "partitioning"}, "partitions": {"partition"}, "usage": {"use"}, "cpu": {"processor", "process"}, "memory": {"ram"},
	"wifi": {"wireless"}, "wireless": {"wifi"}, "vpn": {"vpn"}, "proxy": {"proxy"}, "share": {"sharing"}, "sharing": {"share"}, "calendar": {"calendars"}, "contacts": {"addressbook"},
	"podcast": {"podcasts"}, "podcasts": {"podcast"}, "rss": {"feed", "news"}, "feeds": {"feed"}, "news": {"feed"}, "ebook": {"ebooks", "e-book"}, "ebooks": {"ebook"}, "comics": {"comic"},
	"typing": {"typing"}, "stars": {"planetarium", "astronomy"}, "sky": {"planetarium"}, "map": {"maps"}, "maps": {"map"}, "gps": {"gps"}, "money": {"finance", "accounting"}, "accounting": {"finance"}, "finances": {"finance", "accounting"},
	"duplicate": {"duplicates"}, "rename": {"renamer", "renaming"}, "clipboard": {"clipboard"}, "keyboard": {"keyboard"}, "terminal": {"console"}, "cli": {"console", "command"}, "commandline": {"command", "console"},
	"runtime": {"interpreter"}, "language": {"programming"}, "javascript": {"node", "ecmascript"}, "queue": {"broker", "message"}, "cache": {"caching"}, "search": {"searching", "find"}, "find": {"search"},
	"stream": {"streaming"}, "streaming": {"stream"}, "webcam": {"camera"}, "camera": {"webcam"}, "remote": {"remote"}, "login": {"ssh"}, "encrypt": {"encryption"}, "encryption": {"encrypt"},
}
