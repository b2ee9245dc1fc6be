// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";

import {IRegistry} from "./interfaces/IRegistry.sol";

/// @title Registry
/// @notice See {IRegistry}.
///
/// @dev It calls nobody and holds nothing. `protocol/registry.py` holds the same rules in Python. The tests run both
/// side by side.
contract Registry is IRegistry {
    using EnumerableSet for EnumerableSet.AddressSet;
    using EnumerableSet for EnumerableSet.UintSet;

    /// @dev A table as it is stored. The first two share a slot.
    struct Stored {
        address token;
        uint96 subscribers;
        uint256[5] prices;
        string cpumodel;
        string teeType;
    }

    /// @inheritdoc IRegistry
    uint256 public override tableCount;

    EnumerableSet.AddressSet private _providers;
    mapping(address provider => string cid) private _cids;
    mapping(uint256 id => Stored) private _tables;
    mapping(address provider => EnumerableSet.UintSet ids) private _subscriptions;

    // ------------------------------------------------------------------------------------------------ providers

    /// @inheritdoc IRegistry
    function registerProvider(string calldata cid) external override {
        // Check: there is a record.
        if (bytes(cid).length == 0) revert EmptyCid();

        // Effect: listed at the end, or where it was.
        _providers.add(msg.sender);
        _cids[msg.sender] = cid;

        emit ProviderRegistered(msg.sender, cid);
    }

    /// @inheritdoc IRegistry
    function deregisterProvider() external override {
        // Check and effect: the caller was listed, and is no more.
        if (!_providers.remove(msg.sender)) revert NotRegistered(msg.sender);
        delete _cids[msg.sender];

        emit ProviderDeregistered(msg.sender);
    }

    // ------------------------------------------------------------------------------------------------ tables

    /// @inheritdoc IRegistry
    function registerPricingTable(
        address token,
        uint256[5] calldata prices,
        string calldata cpumodel,
        string calldata teeType
    ) external override returns (uint256 id) {
        // Effect: the next number, never to be changed, and with one subscriber.
        id = ++tableCount;
        Stored storage stored = _tables[id];
        stored.token = token;
        stored.prices = prices;
        stored.cpumodel = cpumodel;
        stored.teeType = teeType;

        emit NewPricingTable(
            token, id, prices[0], prices[1], prices[2], prices[3], prices[4], cpumodel, teeType
        );

        _subscribe(id);
    }

    /// @inheritdoc IRegistry
    function subscribe(uint256 id) external override {
        _requireTable(id);
        _subscribe(id);
    }

    /// @inheritdoc IRegistry
    function unsubscribe(uint256 id) external override {
        // Check and effect: the caller was subscribed, and is no more.
        _requireTable(id);
        if (!_subscriptions[msg.sender].remove(id)) revert NotSubscribed(id, msg.sender);
        --_tables[id].subscribers;

        emit Unsubscribed(id, msg.sender);
    }

    // ------------------------------------------------------------------------------------------------ views

    /// @inheritdoc IRegistry
    function isSubscribed(address provider, uint256 id) external view override returns (bool) {
        return _subscriptions[provider].contains(id);
    }

    /// @inheritdoc IRegistry
    function providerCount() external view override returns (uint256) {
        return _providers.length();
    }

    /// @inheritdoc IRegistry
    function providers(uint256 start, uint256 count, uint256 tablesEach)
        external
        view
        override
        returns (Listing[] memory page)
    {
        address[] memory listed = _providers.values(start, Math.saturatingAdd(start, count));
        page = new Listing[](listed.length);
        for (uint256 i = 0; i < listed.length; ++i) {
            EnumerableSet.UintSet storage ids = _subscriptions[listed[i]];
            page[i] = Listing({
                provider: listed[i],
                cid: _cids[listed[i]],
                tableCount: ids.length(),
                tables: ids.values(0, tablesEach)
            });
        }
    }

    /// @inheritdoc IRegistry
    function subscriptions(address provider, uint256 start, uint256 count)
        external
        view
        override
        returns (uint256[] memory)
    {
        return _subscriptions[provider].values(start, Math.saturatingAdd(start, count));
    }

    /// @inheritdoc IRegistry
    function tables(uint256 firstId, uint256 count) external view override returns (PricingTable[] memory page) {
        uint256 first = Math.max(firstId, 1);
        uint256 end = Math.min(Math.saturatingAdd(firstId, count), tableCount + 1);

        uint256 found = 0;
        for (uint256 id = first; id < end; ++id) {
            if (_tables[id].subscribers != 0) ++found;
        }
        page = new PricingTable[](found);
        uint256 next = 0;
        for (uint256 id = first; id < end; ++id) {
            if (_tables[id].subscribers != 0) page[next++] = _read(id);
        }
    }

    /// @inheritdoc IRegistry
    function table(uint256 id) external view override returns (PricingTable memory) {
        _requireTable(id);
        return _read(id);
    }

    // ------------------------------------------------------------------------------------------------ shared

    function _subscribe(uint256 id) private {
        // Check and effect: the caller was not subscribed, and is now.
        if (!_subscriptions[msg.sender].add(id)) revert AlreadySubscribed(id, msg.sender);
        ++_tables[id].subscribers;

        emit Subscribed(id, msg.sender);
    }

    function _requireTable(uint256 id) private view {
        if (id == 0 || id > tableCount) revert UnknownTable(id, tableCount);
    }

    function _read(uint256 id) private view returns (PricingTable memory) {
        Stored storage stored = _tables[id];
        return PricingTable({
            id: id,
            token: stored.token,
            prices: stored.prices,
            cpumodel: stored.cpumodel,
            teeType: stored.teeType,
            subscribers: stored.subscribers
        });
    }
}
