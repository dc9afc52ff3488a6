# What each role may do, as data.json says: verbs on tables and their columns. Whatever is not allowed is denied.
package gatepost

import rego.v1

default decision := {
	"allow": false,
	"reason": "Your role may not do everything that this statement does.",
	"rule": "deny by default",
	"hint": "Use only the tables, columns and functions that your role may, and name the columns in place of *.",
}

decision := {"allow": true, "rule": "roles"} if {
	count(denials) == 0
	every verb in input.facts.verbs { may_begin(verb) }
	every use in input.facts.objects { may_use(use) }
	every function in input.facts.functions { may_call(function) }
	count(input.facts.settings) == 0
	known
}

decision := {"allow": false, "reason": denial.reason, "rule": denial.rule, "hint": denial.hint} if {
	some denial in [first | first := denials[0]]
}

# What is refused with advice of its own, the most important first.
denials := array.concat(unbounded, secret)

unbounded := [{
	"reason": sprintf("This would %s every row of %s.", [use.verb, use.name]),
	"rule": "unbounded",
	"hint": "Say which rows with WHERE.",
} |
	some use in input.facts.objects
	use.verb in {"update", "delete"}
	not use.is_bounded
]

secret := [{
	"reason": sprintf("The column %s of %s is for nobody.", [column, use.name]),
	"rule": "secret columns",
	"hint": "Leave the column out.",
} |
	some use in input.facts.objects
	some column in use.columns
	column in data.secret[use.name]
]

# Names must be those of the database's catalogue: in a text alone, "cards" may be anybody's.
known if {
	input.facts.is_resolved
	input.facts.effect in {"read", "write", "control"}
}

# Transactions are for every role; other statements need a grant with their verb.
may_begin(verb) if verb in {"begin", "commit", "rollback", "savepoint", "release"}

may_begin(verb) if {
	some grant in grants
	verb in grant.verbs
}

may_use(use) if {
	some grant in grants
	use.verb in grant.verbs
	glob.match(grant.on, ["."], use.name)
	may_use_columns(grant, use)
}

may_use_columns(grant, use) if grant.columns == ["*"]

# Columns that are not known (null) are not all of those that are allowed.
may_use_columns(grant, use) if {
	is_array(use.columns)
	every column in use.columns { column in grant.columns }
}

may_call(function) if {
	some grant in grants
	function in grant.functions
}

grants := [grant |
	some role in input.identity.roles
	some grant in data.roles[role]
]
