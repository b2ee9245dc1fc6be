// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title TestToken
/// @notice A plain ERC-20 token that anybody can mint: for tests and development chains, worth nothing.
contract TestToken is ERC20 {
    uint8 private immutable _decimals;

    /// @param decimals_ Base units in one token, as a power of ten.
    constructor(uint8 decimals_) ERC20("Trusted Pods Test Token", "TPT") {
        _decimals = decimals_;
    }

    /// @inheritdoc ERC20
    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    /// @notice Makes `amount` [base units] for `to`.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
