package callbackpage

import "strings"

// A sentence is a text whose names are apart from its words, because a name may be
// written in another direction than the words around it.
type sentence []part

type part struct {
	Text string
	Name bool
}

// fill puts names in place of the placeholders of text: {provider}.
func fill(text string, names map[string]string) sentence {
	var s sentence
	for text != "" {
		words, rest, found := strings.Cut(text, "{")
		if words != "" {
			s = append(s, part{Text: words})
		}
		if !found {
			break
		}
		var placeholder string
		placeholder, text, _ = strings.Cut(rest, "}")
		s = append(s, part{Text: names[placeholder], Name: true})
	}
	return s
}
