# SPDX-License-Identifier: Apache-2.0
# docs/completion/memtrace.bash - completion for bash; asks the program, so it needs no upkeep.
# Knows: the shape of --help. Does not know: commands and options.
# Sourced by bash-completion at the first Tab after `memtrace`.
_memtrace_options()
{
	"$1" "$2" --help 2>/dev/null | grep -oE '^ +(-[^ =]+, )*--[a-z][a-z-]*' | grep -oE -- '--[a-z-]+'
}

_memtrace()
{
	local program=${COMP_WORDS[0]} command=${COMP_WORDS[1]} word=${COMP_WORDS[COMP_CWORD]}
	local previous=${COMP_WORDS[COMP_CWORD-1]} list=
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		list=$("$program" --help 2>/dev/null | sed -n '/^commands:/,/^$/s/^  \([a-z]\+\) .*/\1/p')
	elif [ "$previous" = --view ]; then
		list='peak leaks allocated temporary'
	elif [ "$previous" = --metric ]; then
		list='bytes count'
	elif [[ $word == -* ]]; then
		list=$(_memtrace_options "$program" "$command")
	elif [[ $command == transform && $COMP_CWORD == 2 ]]; then
		list=$("$program" transform --help 2>/dev/null | sed -n '/^Formats:/,/^$/s/^  \([a-z0-9]\+\) .*/\1/p')
	elif [[ $command =~ ^(attach|live|detach|status|stack)$ ]]; then
		list=$(cd /proc && echo [0-9]*)
	fi
	if [ -n "$list" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$list" -- "$word")
	else
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	fi
}
complete -F _memtrace memtrace
