// Package recipe owns what can be installed by name: recipes, how they are read, checked and searched. A recipe says what a
// model is, where its files are and how engines run it; nothing is fetched or run here.
package recipe
