package authpipetest

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// webhookBody writes JSON with Facebook's own escapes, and with a space after each comma and colon. The signature is
// over these bytes, so a receiver that checks a re-encoded body rejects it.
func webhookBody(payload any) []byte {
	var b bytes.Buffer
	inString, compact := false, encode(payload)
	for i := 0; i < len(compact); {
		r, size := utf8.DecodeRune(compact[i:])
		switch {
		case inString && r == '\\': // the second byte of an escape needs no other treatment
			b.Write(compact[i : i+2])
			size = 2
		case r == '"':
			inString = !inString
			b.WriteByte('"')
		case inString && r == '/':
			b.WriteString(`\/`)
		case inString && (r > 0x7e || r == '<' || r == '%' || r == '@'):
			escape(&b, r)
		case !inString && (r == ',' || r == ':'):
			b.WriteRune(r)
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.Bytes()
}

func escape(b *bytes.Buffer, r rune) {
	for _, unit := range utf16.AppendRune(nil, r) {
		fmt.Fprintf(b, `\u%04x`, unit)
	}
}
