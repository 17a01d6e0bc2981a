"""Our customers at the payment provider."""

from billing import accounts
from billing.db import Database
from billing.gateway import Gateway


async def customer_of(database: Database, gateway: Gateway, customer_id: int) -> str:
    """Return the provider's id of a customer, made when it is needed first.

    Raises:
        GatewayError: the provider gave none; asking again is harmless.
    """
    async with database.read() as reading:
        customer = await accounts.get(reading, customer_id)
    if customer.provider_id is not None:
        return customer.provider_id
    # The time of registration keeps two installations on one account apart, which may have the same ids.
    key = f"customer-{customer.id}-{customer.telegram_id}-{int(customer.created_at.timestamp())}"
    made = await gateway.create_customer(key=key, customer_id=customer.id, name=customer.name, email=customer.email)
    async with database.transaction() as session:
        locked = await accounts.lock(session, customer_id)
        if locked.provider_id is None:
            locked.provider_id = made
        # Somebody was quicker: theirs is the one that cards hang on.
        return locked.provider_id
