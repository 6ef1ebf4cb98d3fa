package authpipetest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// signedRequest is the format of deauthorizations and data deletion requests ("Data Deletion Request Callback"): the
// signature is over the payload as it is encoded, and both are unpadded base64url.
func signedRequest(secret string, payload []byte) string {
	encoded := base64.RawURLEncoding.EncodeToString(payload)
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write([]byte(encoded))
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil)) + "." + encoded
}

func hexHMAC(secret, message string) string {
	sum := hmac.New(sha256.New, []byte(secret))
	sum.Write([]byte(message))
	return hex.EncodeToString(sum.Sum(nil))
}

// hexHMACSHA1 is for X-Hub-Signature, which Facebook sends along for the sake of old receivers.
func hexHMACSHA1(secret string, message []byte) string {
	sum := hmac.New(sha1.New, []byte(secret))
	sum.Write(message)
	return hex.EncodeToString(sum.Sum(nil))
}

// webhookBody writes JSON as nobody else would: escaped as Facebook escapes it, with a blank after each comma and colon.
// The signature is over these bytes, so that a receiver who encodes the body anew to check it finds another.
func webhookBody(payload any) []byte {
	var b bytes.Buffer
	inString, compact := false, encode(payload)
	for i := 0; i < len(compact); {
		r, size := utf8.DecodeRune(compact[i:])
		switch {
		case inString && r == '\\': // an escape is two bytes at least, the second of which is never special
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
