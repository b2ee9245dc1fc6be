// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

// Tokens as they exist and as nobody would want them, for the tests. All amounts are base units; anybody can mint.

/// @notice Burns one unit of everything that moves: what arrives is less than what was sent.
contract FeeToken is ERC20("Fee", "FEE") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) _burn(to, Math.min(1, value));
    }
}

/// @notice Refuses to move anything from or to those it has blocked.
contract BlocklistToken is ERC20("Blocklist", "BLK") {
    error Blocked(address account);

    mapping(address account => bool) public blocked;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setBlocked(address account, bool value) external {
        blocked[account] = value;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (blocked[from]) revert Blocked(from);
        if (blocked[to]) revert Blocked(to);
        super._update(from, to, value);
    }
}

/// @notice Calls whom it was told to call, in its own name, in the middle of the next transfer; and keeps what came of
/// it. With `act` it can be a publisher or provider itself, so that its call would count if it got through.
contract ReenteringToken is ERC20("Reentering", "RE") {
    address public target;
    bytes public data;
    bool public called;
    bool public succeeded;
    bytes public returned;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @notice Calls `data_` of `target_` during the next transfer.
    function arm(address target_, bytes calldata data_) external {
        target = target_;
        data = data_;
        called = false;
        _approve(address(this), target_, type(uint256).max);
    }

    /// @notice Calls at once, and passes on what is returned.
    function act(address target_, bytes calldata data_) external returns (bytes memory result) {
        bool success;
        _approve(address(this), target_, type(uint256).max);
        (success, result) = target_.call(data_);
        if (!success) {
            assembly {
                revert(add(result, 32), mload(result))
            }
        }
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        address now_ = target;
        if (now_ != address(0) && from != address(0)) {
            target = address(0);
            called = true;
            (succeeded, returned) = now_.call(data);
        }
    }
}

/// @dev Balances and approvals without a word about how refusals are told.
abstract contract Ledger {
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    uint256 public totalSupply;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
        totalSupply += amount;
    }

    function _move(address from, address to, uint256 amount) internal returns (bool) {
        if (balanceOf[from] < amount) return false;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function _moveFrom(address from, address to, uint256 amount) internal returns (bool) {
        if (allowance[from][msg.sender] < amount || !_move(from, to, amount)) return false;
        allowance[from][msg.sender] -= amount;
        return true;
    }
}

/// @notice Returns nothing, as tokens older than the standard do; reverts without data.
contract NoReturnToken is Ledger {
    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        if (!_move(msg.sender, to, amount)) revert();
    }

    function transferFrom(address from, address to, uint256 amount) external {
        if (!_moveFrom(from, to, amount)) revert();
    }
}

/// @notice Returns false where others revert.
contract FalseToken is Ledger {
    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        return _moveFrom(from, to, amount);
    }
}
