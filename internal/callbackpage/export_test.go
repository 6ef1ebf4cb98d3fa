package callbackpage

import "reflect"

// Template and Style are the page's sources.
var (
	Template = pageHTML
	Style    = pageCSS
)

// Tags has the languages, in the order of the table.
func Tags() []string {
	var tags []string
	for _, l := range languages {
		tags = append(tags, l.tag)
	}
	return tags
}

// Texts has each language's texts by their names.
func Texts() map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, l := range languages {
		texts := map[string]string{}
		for field, value := range reflect.ValueOf(l.texts).Fields() {
			texts[field.Name] = value.String()
		}
		all[l.tag] = texts
	}
	return all
}
