// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title IRegistry
/// @notice Who provides, and at which prices.
///
/// @dev Pricing tables are immutable and numbered from 1. A table without subscribers is not listed and stays readable
/// by its id. Anybody can register; what a provider promises is in its record, which is found by its content id.
///
/// Units: prices are base units of the table's token: cpu per core-second, ram and storage per byte-second (all three
/// for reservation), bandwidth per byte (for usage). Their order is cpu, ram, storage, egress, ingress.
///
/// The views are read a page at a time. A page is a window of positions or ids and costs what is in the window, so no
/// number of providers, tables or subscriptions can make the registry unreadable. Pages that belong together have to be
/// read at one block.
interface IRegistry {
    // ------------------------------------------------------------------------------------------------ types

    /// @notice A listed provider.
    /// @param provider Its address.
    /// @param cid Content id of its record.
    /// @param tableCount How many tables it is subscribed to.
    /// @param tables Ids of the first of them, in no particular order.
    struct Listing {
        address provider;
        string cid;
        uint256 tableCount;
        uint256[] tables;
    }

    /// @notice A pricing table.
    /// @param id Its number, from 1.
    /// @param token The token that prices are in.
    /// @param prices cpu, ram, storage, egress, ingress.
    /// @param cpumodel What the cores are, for people.
    /// @param teeType What encloses them, for people.
    /// @param subscribers How many providers offer it.
    struct PricingTable {
        uint256 id;
        address token;
        uint256[5] prices;
        string cpumodel;
        string teeType;
        uint256 subscribers;
    }

    // ------------------------------------------------------------------------------------------------ events

    /// @notice A table was published.
    event NewPricingTable(
        address indexed token,
        uint256 indexed id,
        uint256 cpuPrice,
        uint256 ramPrice,
        uint256 storagePrice,
        uint256 bandwidthEgressPrice,
        uint256 bandwidthIngressPrice,
        string cpumodel,
        string teeType
    );

    /// @notice `provider` offers the prices of table `id`.
    event Subscribed(uint256 indexed id, address indexed provider);

    /// @notice `provider` offers the prices of table `id` no more.
    event Unsubscribed(uint256 indexed id, address indexed provider);

    /// @notice `provider` is listed with the record `cid`, or replaced its record by it.
    event ProviderRegistered(address indexed provider, string cid);

    /// @notice `provider` is listed no more.
    event ProviderDeregistered(address indexed provider);

    // ------------------------------------------------------------------------------------------------ errors

    /// @notice A provider cannot be listed without a record.
    error EmptyCid();

    /// @notice There is no table `id`; there are `tableCount`, from 1.
    error UnknownTable(uint256 id, uint256 tableCount);

    /// @notice `provider` is subscribed to table `id`.
    error AlreadySubscribed(uint256 id, address provider);

    /// @notice `provider` is not subscribed to table `id`.
    error NotSubscribed(uint256 id, address provider);

    /// @notice `provider` is not listed.
    error NotRegistered(address provider);

    // ------------------------------------------------------------------------------------------------ providers

    /// @notice Lists the caller, or replaces its record; it keeps its position then.
    ///
    /// @dev Emits {ProviderRegistered}.
    ///
    /// Requirements:
    /// - `cid` must not be empty (`EmptyCid`).
    ///
    /// @param cid Content id of the provider's record.
    function registerProvider(string calldata cid) external;

    /// @notice Lists the caller no more. The provider that was listed last takes its position. Subscriptions stay, and
    /// count again when it returns.
    ///
    /// @dev Emits {ProviderDeregistered}.
    ///
    /// Requirements:
    /// - The caller must be listed (`NotRegistered`).
    function deregisterProvider() external;

    // ------------------------------------------------------------------------------------------------ tables

    /// @notice Publishes a table and subscribes the caller to it.
    ///
    /// @dev Emits {NewPricingTable} and {Subscribed}.
    ///
    /// @param token The token that prices are in.
    /// @param prices cpu, ram, storage, egress, ingress; 0 is free.
    /// @param cpumodel What the cores are, for people.
    /// @param teeType What encloses them, for people.
    /// @return id The table's number.
    function registerPricingTable(
        address token,
        uint256[5] calldata prices,
        string calldata cpumodel,
        string calldata teeType
    ) external returns (uint256 id);

    /// @notice Offers the prices of a table.
    ///
    /// @dev Emits {Subscribed}.
    ///
    /// Requirements, checked in this order:
    /// - The table must exist (`UnknownTable`).
    /// - The caller must not be subscribed to it (`AlreadySubscribed`).
    ///
    /// @param id The table's number.
    function subscribe(uint256 id) external;

    /// @notice Offers the prices of a table no more.
    ///
    /// @dev Emits {Unsubscribed}.
    ///
    /// Requirements, checked in this order:
    /// - The table must exist (`UnknownTable`).
    /// - The caller must be subscribed to it (`NotSubscribed`).
    ///
    /// @param id The table's number.
    function unsubscribe(uint256 id) external;

    // ------------------------------------------------------------------------------------------------ views

    /// @notice Whether `provider` offers the prices of table `id`.
    function isSubscribed(address provider, uint256 id) external view returns (bool);

    /// @notice How many providers are listed.
    function providerCount() external view returns (uint256);

    /// @notice How many tables were published; their ids are 1 to this.
    function tableCount() external view returns (uint256);

    /// @notice Listed providers with their records and their first subscriptions.
    /// @param start Position of the first, from 0.
    /// @param count At most so many; fewer only at the end.
    /// @param tablesEach At most so many table ids each; `subscriptions` has the rest.
    function providers(uint256 start, uint256 count, uint256 tablesEach) external view returns (Listing[] memory);

    /// @notice Ids of the tables that `provider` offers, listed or not, in no particular order.
    /// @param provider Whose.
    /// @param start Position of the first, from 0.
    /// @param count At most so many; fewer only at the end.
    function subscriptions(address provider, uint256 start, uint256 count) external view returns (uint256[] memory);

    /// @notice Tables with subscribers among the ids from `firstId` to `firstId + count - 1`.
    /// @param firstId The smallest id to look at.
    /// @param count How many ids to look at. The next page begins at `firstId + count`; the last has `tableCount`.
    function tables(uint256 firstId, uint256 count) external view returns (PricingTable[] memory);

    /// @notice A table, with subscribers or without.
    ///
    /// Requirements:
    /// - The table must exist (`UnknownTable`).
    ///
    /// @param id The table's number.
    function table(uint256 id) external view returns (PricingTable memory);
}
