package callbackpage

import (
	"strings"

	xlanguage "golang.org/x/text/language"
)

// A language is one that the page is written in.
type language struct {
	tag       string // BCP 47, as lang has it
	direction string // as dir has it
	texts
}

// maxAcceptLanguage is how many bytes of Accept-Language are looked at. Browsers send
// less than 200.
const maxAcceptLanguage = 1024

// byBase has the languages by their BCP 47 base, because each stands in the table in
// one variety.
var byBase = func() map[xlanguage.Base]language {
	by := make(map[xlanguage.Base]language, len(languages))
	for _, l := range languages {
		base, _ := xlanguage.MustParse(l.tag).Base()
		by[base] = l
	}
	return by
}()

// match returns the language that the browser prefers (RFC 9110, section 12.5.4) of
// those that the page is written in, and English where it names none of them.
//
// It is no [xlanguage.Matcher], which takes Spanish for Basque, and Russian for
// Ukrainian, before it looks at the browser's next preference.
func match(acceptLanguage []string) language {
	header := strings.Join(acceptLanguage, ",")
	if len(header) > maxAcceptLanguage {
		return languages[0]
	}
	preferred, _, err := xlanguage.ParseAcceptLanguage(header)
	if err != nil {
		return languages[0]
	}
	for _, tag := range preferred {
		base, _ := tag.Base()
		if l, ok := byBase[base]; ok {
			return l
		}
	}
	return languages[0]
}
