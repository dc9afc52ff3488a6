from gatepost import Deny, Effect, Session, Statement, hookimpl


@hookimpl
def on_statement(session: Session, statement: Statement) -> Deny | None:
    """Rows are deleted by janitors alone. What cannot be read might delete, so it is refused too."""
    roles = session.identity.roles if session.identity else ()
    deletes = any(use.verb in ("delete", "truncate", "merge") for use in statement.facts.objects)
    if "janitor" not in roles and (deletes or statement.facts.effect is Effect.UNKNOWN):
        return Deny(reason="rows are not deleted here", rule="no_delete", hint="Set deleted_at to now() instead.")
    return None
