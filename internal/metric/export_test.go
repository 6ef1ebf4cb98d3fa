package metric

// Template is template, for tests.
var Template = template
